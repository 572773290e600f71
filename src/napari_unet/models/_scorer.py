"""What puts out scores, seen from where they are stored: a model, a foreign one, or several as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..core.model_card import ModelCard
from ..tiling.grid import Ends

__all__ = ["Predict", "Scorer", "Sides", "agreement_of", "inner", "runtime_of"]

Sides = int | tuple[int, ...]
Predict = Callable[..., npt.NDArray[np.float32]]  # see napari_unet.tiling.scoring


class Scorer(Protocol):
    """What puts out scores: a model, a foreign one, or several as one."""

    @property
    def card(self) -> ModelCard:
        """What is known of it."""

    @property
    def device(self) -> str:
        """Where it runs."""

    @property
    def precision(self) -> Any:
        """How exactly it computes."""

    @property
    def halo(self) -> Sides:
        """Context that a score needs, pixels of the network's grid; one number for every axis where they differ."""

    @property
    def multiple(self) -> Sides:
        """Grid that tiles start on, likewise."""

    @property
    def outputs(self) -> int:
        """Number of score channels that are stored; the object size follows them."""

    def predict(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute scores; see :meth:`napari_unet.models.model.Model.predict`."""


def inner(model: Scorer) -> Predict:
    """Return what predicts the inside of tiles: the quicker way of models that have one, else plain ``predict``."""
    if hasattr(model, "predict_stored"):
        return _Storing(model)
    found: Predict = getattr(model, "predict_inner", model.predict)
    return found


class _Storing:
    """A model as :class:`~napari_unet.tiling.scoring.Storing`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        # What a graphics card is sent should be small; a processor looks up as well before as after.
        self.looks_up = model.device.startswith("cuda")

    def __call__(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = self._model.predict_inner(batch, *_told(ends))
        return found

    def stored(
        self, batch: npt.NDArray[Any], outputs: int, tables: npt.NDArray[np.float32] | None = None, ends: Ends = ()
    ) -> npt.NDArray[np.uint8]:
        found: npt.NDArray[np.uint8] = self._model.predict_stored(batch, outputs, tables, *_told(ends))
        return found


def _told(ends: Ends) -> tuple[Ends, ...]:
    """Return what a model is told of ends: whoever knows no closed images need not know the word."""
    return (ends,) if ends else ()


def agreement_of(model: Scorer) -> dict[str, float]:
    """Return the share of pixels, in percent, that are foreground as in float32, where a runtime has measured it."""
    members = [member for member, _ in getattr(model, "members", ((model, None),))]
    measured = [found["foreground"] for member in members if (found := getattr(member, "agreement", None))]
    return {"agreement_percent": round(100 * min(measured), 3)} if measured else {}


def runtime_of(model: Scorer) -> str:
    """Return what computes; a foreign model brings it along."""
    return str(getattr(model, "runtime", "foreign"))
