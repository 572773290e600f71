"""Looks at a network while it learns: scores on held-out images, examples for the eye, a picture that is watched."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import nn

from ..core.axes import Image
from ..core.errors import ImageError, TrainingDataError
from ..core.examples import Example
from ..core.model_card import ModelCard
from ..core.specs import SegmentSpec, TrainSpec
from ..core.steps import finish
from ..io.atomic import atomic_file
from ..models.model import Model
from ..models.segment import segment_image
from ..targets import count_frames
from .holdout import draw_lot
from .unseen import LOSS, Unseen
from .validate import Judged, Shown, judge, open_example, summarize

__all__ = ["Looks"]

_SHARE: Final = 0.15  # of the work of training that validating may take
_BACKWARD: Final = 3  # times the work of a prediction is a step of training
_EXAMPLES: Final = 3
_EDGE: Final = 256  # pixels of an example
_COMPARED: Final = 1024.0**2  # pixels of an image that is learned from, to compare models
_TIE: Final = 1e-6  # less than any difference in mAP that means something
_GLANCES: Final = 0.1  # of the time
_FIRST_GLANCE: Final = 5.0  # seconds


class Looks:
    """Who looks.

    Parameters
    ----------
    held_out : sequence of Example
        Images to validate on; may be none.
    learned : sequence of Example
        Images that are learned from; examples are taken from these where none is held out.
    spec : TrainSpec
        Of the run.
    card : ModelCard
        Of the model to be.
    folder : Path
        Of the run, where examples and the labels of the watched picture are written.
    watched : Image, optional
        The picture that is watched: what the user sees now.
    """

    def __init__(
        self,
        held_out: Sequence[Example],
        learned: Sequence[Example],
        spec: TrainSpec,
        card: ModelCard,
        folder: Path,
        watched: Image | None = None,
    ) -> None:
        self.held_out, self.learned, self.spec, self.card = list(held_out), list(learned), spec, card
        self.folder, self.watched, self.device = folder, watched, "cpu"
        self.unseen: Unseen | None = None  # measures the loss on the held-out images, where there are some
        self._shown: list[Shown] | None = None
        self._next_glance = _FIRST_GLANCE

    def model(self, network: nn.Module) -> Model:
        """Return the network as the model that it would be now."""
        return Model(self.card, copy.deepcopy(network), self.device, "torch")

    def report(self, network: nn.Module, between: int) -> tuple[dict[str, float], tuple[Path, ...]]:
        """Score a network on the held-out images, or as much of them as may be looked at, always the same.

        Parameters
        ----------
        network : torch.nn.Module
            The averaged weights.
        between : int
            Steps between two reports: how much may be looked at follows from it, not from the clock, so that a run
            that is repeated decides the same.

        Returns
        -------
        scores : dict of float
            See :func:`napari_unet.training.validate.summarize`; and ``loss``, that on unseen patches.
        examples : tuple of Path
            Files (npz) with ``image``, ``truth`` and ``labels``.
        """
        if self._shown is None:
            self._shown = self._choose(between)
        model = self.model(network)
        judged = [judge(shown, model, measured=False) for shown in self._shown]
        files = tuple(
            self._write(i, *pair) for i, pair in enumerate(zip(self._shown, judged, strict=True)) if i < _EXAMPLES
        )
        scores = summarize(judged)[0] if self.held_out else {}
        return ({LOSS: self.unseen.measure(network)} if self.unseen else {}) | scores, files

    def score(self, validation: dict[str, float]) -> float | None:
        """Return mAP, or Dice where objects cannot be counted or have no common size; None if nothing was measured.

        Where mAP is the same, and it is 0 for long while a network knows little, Dice decides.
        """
        if count_frames(self.card.target) > 1:
            return None  # how well objects are found says little of how well their motion is foretold
        names = ("mDice", "mAP", "Dice") if self.card.grid.sized else ("mDice", "Dice")
        found = next((validation[name] for name in names if name in validation), None)
        return None if found is None else found + _TIE * validation.get("Dice", 0.0)

    def glance(self, network: nn.Module, seconds: float) -> Path | None:
        """Segment the watched picture, if that takes no more than a tenth of the time.

        Parameters
        ----------
        network : torch.nn.Module
            The averaged weights.
        seconds : float
            Time of training so far.

        Returns
        -------
        Path or None
            Labels (npy), along the picture's axes without channels.
        """
        if self.watched is None or seconds < self._next_glance:
            return None
        began = time.monotonic()
        spec = SegmentSpec(model=self.card.name, device=self.device, diameter=self._usual())
        try:
            found = finish(segment_image(self.watched, spec, self.model(network), preview=False))
        except ImageError:  # it has other channels than the images that are learned from
            self._next_glance = math.inf
            return None
        file = self.folder / "preview-labels.npy"
        with atomic_file(file) as part:
            np.save(part, np.asarray(found.labels.data))
        took = time.monotonic() - began
        self._next_glance = seconds + took / _GLANCES
        return file

    def final(self, network: nn.Module) -> tuple[list[Shown], list[Judged]]:
        """Judge all held-out images, whole, as a user would segment them."""
        model = self.model(network)
        shown = [self.open(example) for example in self.held_out]
        return shown, [judge(each, model) for each in shown]

    def labels(self, network: nn.Module, shown: Shown) -> npt.NDArray[np.int32]:
        """Return what a network finds in an image."""
        return judge(shown, self.model(network), measured=False).labels

    def compare(self, model: Model) -> dict[str, float]:
        """Return the scores of a model on all held-out images; if there are none, on a few that are learned from."""
        most = math.inf if self.held_out else _COMPARED
        shown = (self.open(each, most, self.card.diameter) for each in self.compared)
        return summarize([judge(each, model) for each in shown])[0]

    @property
    def compared(self) -> list[Example]:
        """The images by which a model is compared with the one that it goes on from."""
        return self.held_out or self.learned[:_EXAMPLES]

    def open(self, example: Example, most: float = math.inf, wanted: float | None = None) -> Shown:
        """Read an annotated image as the model sees it; see :func:`napari_unet.training.validate.open_example`."""
        return open_example(example, most, wanted, self.card.target, self.card.net.ndim)

    def _usual(self) -> float | None:
        """Return the object size of the annotated images, while the network cannot tell it."""
        if not self.card.grid.sized:
            return None
        known = [shown.diameter for shown in self._shown or self._choose(self.spec.every) if shown.diameter > 0]
        return round(float(np.median(known)), 2) if known else None

    def _choose(self, between: int) -> list[Shown]:
        wanted, spec = self.card.diameter, self.spec
        patch = float(spec.patch) ** self.card.net.ndim
        left = _SHARE * _BACKWARD * between * spec.batch * patch
        chosen: list[Shown] = []
        # Files are often named by what they show: the first ones would be of one kind.
        mixed = sorted(self.held_out, key=lambda each: draw_lot(each.name, self.spec.seed))
        for example in mixed or self.learned[:_EXAMPLES]:
            most = max(left, 0.0) if self.held_out else min(left, float(_EDGE**self.card.net.ndim))
            if chosen and most < patch:
                break
            shown = self.open(example, max(most, patch), wanted)
            chosen.append(shown)
            left -= shown.truth.size * (wanted / (shown.diameter or wanted)) ** self.card.net.ndim
        if not chosen:
            raise TrainingDataError("There is no annotated image to look at. Give some.")
        return chosen

    def _write(self, number: int, shown: Shown, judged: Judged) -> Path:
        rows, columns = shown.truth.shape[-2:]
        inside = tuple(
            slice((n - min(n, _EDGE)) // 2, (n - min(n, _EDGE)) // 2 + min(n, _EDGE)) for n in (rows, columns)
        )
        file = self.folder / "examples" / f"{number}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = picture(shown.image)[inside]
        truth, labels = (_plane(each)[inside] for each in (shown.truth, judged.labels))
        with atomic_file(file) as part:
            np.savez(part, image=image, truth=truth, labels=labels)
        return file


def _plane(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the middle plane of the first frame: all but the last two axes gone."""
    while array.ndim > 2:
        array = array[len(array) // 2]
    return array


def picture(image: Image) -> npt.NDArray[np.float32]:
    """Return one plane of an image for the eye: ``(y, x)`` float32, the mean of its channels."""
    window = [
        slice(0, n) if axis in "cyx" else slice(n // 2, n // 2 + 1)
        for axis, n in zip(image.axes, image.shape, strict=True)
    ]
    data = np.asarray(image.read(tuple(window)), np.float32)
    other = [i for i, axis in enumerate(image.axes) if axis not in "yx"]
    flat = data.mean(tuple(other)) if other else data
    swapped = image.axes.index("x") < image.axes.index("y")
    return np.ascontiguousarray(flat.T if swapped else flat)
