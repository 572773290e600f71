"""What others tell of a model that they have loaded: enough for whoever gives out the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ClusterError, ModelError
from ..core.model_card import ModelCard
from ..models._scorer import Scorer, Sides, agreement_of, runtime_of
from ..models.cards import find_model

__all__ = ["Told", "check_models", "tell"]


@dataclass(frozen=True)
class Told:
    """A model that is loaded elsewhere, in the form of one that is here.

    Attributes
    ----------
    card : ModelCard
        What is known of it.
    device, runtime, precision : str
        Where and how it computes.
    halo, multiple : int or tuple of int
        See :class:`~napari_unet.models._scorer.Scorer`.
    outputs : int
        Score channels that are stored.
    agreement : dict of str to float
        Share of foreground as in float32, where the runtime has measured it.
    record : dict
        What is averaged; empty for a single model.
    """

    card: ModelCard
    device: str
    runtime: str
    precision: str
    halo: Sides
    multiple: Sides
    outputs: int
    agreement: dict[str, float] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def same(self) -> tuple[str, ...]:
        """What must be equal wherever the model computes for one run."""
        return self.card.name, str(self.card.sha256), self.device.partition(":")[0], self.runtime, self.precision

    def predict(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Refuse: this is done elsewhere."""
        raise ModelError(f"The model '{self.card.name}' is on the workers, not here. Please report this.")


def tell(model: Scorer) -> Told:
    """Describe a model that is loaded here.

    Parameters
    ----------
    model : Scorer
        A model, a foreign one, or several as one.

    Returns
    -------
    Told
        Small, to be sent.
    """
    found = agreement_of(model)
    return Told(
        model.card, model.device, runtime_of(model), str(model.precision).removeprefix("torch."), model.halo,
        model.multiple, model.outputs,
        {"foreground": found["agreement_percent"] / 100} if found else {}, dict(getattr(model, "record", None) or {}),
    )  # fmt: skip


def check_models(names: Sequence[str]) -> None:
    """See that models are here.

    Parameters
    ----------
    names : sequence of str
        Names, or folders.

    Raises
    ------
    ClusterError
        If one is not; it says what to do.
    """
    for name in names:
        try:
            find_model(name)
        except ModelError as error:
            raise ClusterError(
                f"{error} A model is told by its name: install it where workers run too (napari-unet models add), or "
                "give a model folder on a disk that they share."
            ) from error
