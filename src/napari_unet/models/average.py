"""Several answers for one: the scores of several models, views of the image and dropout samples, averaged.

Everything happens inside of ``predict``, on tiles with their halo: what is stored is the mean, and it depends as little
on tiles as the scores of a single model do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ModelError
from ..core.model_card import ModelCard
from ..core.results import MOST_UNCERTAIN
from ..core.specs import SegmentSpec
from ..core.stacks import choose_stack
from ..targets import directions
from ..tiling.grid import Ends
from ._samples import dropout_samples
from ._scorer import Predict, Scorer, Sides, inner, runtime_of
from ._turns import Turn, turns
from .stacks import Stacked
from .zoo import load_model

__all__ = ["Averaged", "gather"]


class Averaged:
    """The mean of several answers, in the form of one model.

    Predictions for mirrored and turned views are those of Krizhevsky et al. 2012 (section 4.1); several networks are
    the deep ensembles of Lakshminarayanan et al. 2017 (section 2.4).

    Parameters
    ----------
    members : sequence of (Scorer, Turn)
        Which model looks at the tile, and how.
    uncertainty : bool
        Add a channel after those of the target: the standard deviation of the foreground score among the members
        (of all of them, not estimated from a sample), divided by ``MOST_UNCERTAIN``.
    seeds : sequence of int
        Of the dropout samples among the members, for the record.

    Attributes
    ----------
    card : ModelCard
        Of the first model; of several, name and sha256 tell all of them.
    halo, multiple : int or tuple of int
        What suits all members.

    Raises
    ------
    ModelError
        If the models do not fit together; the text says what differs.
    """

    def __init__(
        self, members: Sequence[tuple[Scorer, Turn]], uncertainty: bool = False, seeds: Sequence[int] = ()
    ) -> None:
        models = list({id(model): model for model, _ in members}.values())
        first = models[0]
        cards = list({card.sha256 or card.name: card for card in (model.card for model in models)}.values())
        for model in models[1:]:
            _check_pair(first, model)
        self.members, self.uncertainty = tuple(members), uncertainty
        self._cards, self._seeds = cards, tuple(seeds)
        self.card = first.card if len(cards) == 1 else _joined(cards)
        self.device = ", ".join(dict.fromkeys(model.device for model in models))
        self.runtime = ", ".join(dict.fromkeys(runtime_of(model) for model in models))
        self.precision = ", ".join(dict.fromkeys(str(model.precision).removeprefix("torch.") for model in models))
        self.halo = _along([(model.halo, turn) for model, turn in members], max)
        self.multiple = _along([(model.multiple, turn) for model, turn in members], math.lcm)
        self.outputs = first.outputs + uncertainty
        self._directions = directions(first.card.target)

    @property
    def record(self) -> dict[str, Any]:
        """What was averaged, for the record of a run."""
        return {
            "models": [{"name": card.name, "sha256": card.sha256} for card in self._cards],
            "answers": len(self.members),
            "dropout_seeds": list(self._seeds),
        }

    def predict(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute the mean scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``, normalized, every spatial length a multiple of ``multiple``.
        ends : tuple of (bool, bool)
            Makes no difference here.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)`` in 0 to 1: the target's channels, perhaps the uncertainty, then the object size. Members are
            added in their order, so that the sum is the same however tiles are cut and grouped.
        """
        return self._mean([(model.predict, turn) for model, turn in self.members], batch)

    def predict_inner(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute the mean scores only where they have their whole context, and quicker where a member can.

        Parameters
        ----------
        batch : ndarray of float32
            As for :meth:`predict`.
        ends : tuple of (bool, bool)
            Edges where an image ends, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of float32
            The same, but for what is nearer than ``halo`` to an edge where no image ends.
        """
        return self._mean([(inner(model), turn) for model, turn in self.members], batch, ends)

    def _mean(
        self, members: Iterable[tuple[Predict, Turn]], batch: npt.NDArray[np.float32], ends: Ends = ()
    ) -> npt.NDArray[np.float32]:
        spread = _Spread() if self.uncertainty else None
        total = known = np.zeros((), np.float32)
        for predict, turn in members:
            scores = turn.undo(predict(turn.apply(batch), *((turn.ends(ends),) if ends else ())), self._directions)
            if spread is not None:
                spread.add(scores[:, 0])
            total = total + scores
            # A model that does not know the size of objects says 0, and has no say in it.
            known = known + (scores[:, -1] > 0)
        total[:, :-1] /= np.float32(len(self.members))
        total[:, -1] /= np.maximum(known, 1)
        # What is turned back may be less than a step of the stored scores outside.
        np.clip(total, 0, 1, out=total)
        if spread is None:
            return total
        return np.concatenate(
            [total[:, :-1], spread.deviation[:, None] / np.float32(MOST_UNCERTAIN), total[:, -1:]], axis=1
        )


class _Spread:
    """The standard deviation of scores that come one after the other (Welford 1962): exactly 0 where all are equal."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = np.zeros((), np.float32)

    def add(self, scores: npt.NDArray[np.float32]) -> None:
        self._count += 1
        away = scores - self._mean
        self._mean = self._mean + away / np.float32(self._count)
        self._squares = self._squares + away * (scores - self._mean)

    @property
    def deviation(self) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = np.sqrt(np.maximum(self._squares, 0) / np.float32(self._count))
        return np.minimum(found, np.float32(MOST_UNCERTAIN))


def gather(spec: SegmentSpec, image: Image | None = None) -> Scorer:
    """Load what a run needs: one model, or all that is averaged.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of the run.
    image : Image, optional
        That it will see, which decides how stacks are seen where that is left open; without one plane by plane.

    Returns
    -------
    Scorer
        The model itself where nothing is averaged.

    Raises
    ------
    ModelError
        If a model is unknown or damaged, they do not fit together, one is named twice, or one has no dropout to sample.
    """
    seeds = range(spec.dropout_samples)
    models: list[Scorer] = []
    loaded: Sequence[Scorer]
    for name in spec.models:
        loaded = dropout_samples(name, spec, seeds) if seeds else [load_model(name, spec.device, spec.runtime)]
        if loaded[0].card.sha256 and loaded[0].card.sha256 in (model.card.sha256 for model in models):
            raise ModelError(f"'{name}' is a model that was named before. Average over models that differ.")
        models += loaded
    views = turns(spec.average, models[0].card.net.ndim)
    found = models[0]
    if len(models) * len(views) > 1 or seeds:
        found = Averaged([(model, view) for model in models for view in views], spec.uncertainty, seeds)
    kind = choose_stack(spec, found.card, image)
    return found if kind == "planes" else Stacked(found, kind)


def _along(wanted: Sequence[tuple[Sides, Turn]], join: Callable[..., int]) -> Sides:
    """Join what members want along their own axes to what suits them all along the axes of the image."""
    rows = []
    for sides, turn in wanted:
        each = (sides,) * len(turn.order) if isinstance(sides, int) else sides
        rows.append([each[turn.order.index(axis)] for axis in range(len(turn.order))])
    found = [join(*row) if len(row) > 1 else row[0] for row in zip(*rows, strict=True)]
    return found[0] if len(set(found)) == 1 else tuple(found)


def _facts(model: Scorer) -> dict[str, Any]:
    card = model.card
    return {
        "what their scores mean": card.target.name,
        "the number of scores": model.outputs,
        "dimensions": card.net.ndim,
        "channels of the network": card.net.inputs,
        "channels of an image": card.channels,
        "object width": card.diameter,
        "normalization": card.normalize.model_dump(),
        "what they see beyond the border": "nothing" if card.closed else "the image, mirrored",
    }


def _check_pair(one: Scorer, other: Scorer) -> None:
    differ = [
        f"{what} ({mine} and {yours})"
        for (what, mine), yours in zip(_facts(one).items(), _facts(other).values(), strict=True)
        if mine != yours
    ]
    if differ:
        raise ModelError(
            f"The models '{one.card.name}' and '{other.card.name}' cannot be averaged, because they differ in "
            f"{', '.join(differ)}. Choose models that were trained with the same settings."
        )


def _joined(cards: Iterable[ModelCard]) -> ModelCard:
    """Return the card of the first that names all, with one hash for all."""
    cards = list(cards)
    digest = hashlib.sha256("\n".join(card.sha256 for card in cards).encode()).hexdigest()
    whole = all(card.tile_invariant for card in cards)
    name = " + ".join(card.name for card in cards)
    return cards[0].model_copy(update={"name": name, "sha256": digest, "tile_invariant": whole})
