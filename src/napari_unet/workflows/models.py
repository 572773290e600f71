"""Models and presets at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.specs import Task
from ..core.specs import load_task as _load_task

if TYPE_CHECKING:
    from ..core.model_card import ModelCard
    from ..models.model import Model

__all__ = ["info", "list_models", "load_model", "load_task"]


def load_model(name: str = "nuclei", device: str = "auto") -> Model:
    """Load a model by name or folder; see :func:`napari_unet.models.zoo.load_model`."""
    from ..models.zoo import load_model as find

    return find(name, device)


def list_models() -> list[ModelCard]:
    """Return the cards of all models at hand, bundled ones first."""
    from ..models.cards import list_cards

    return list_cards()


def load_task(name: str) -> Task:
    """Read a preset by name."""
    return _load_task(name)


def info() -> dict[str, Any]:
    """Return versions, devices and models: what a report of a problem needs."""
    from ..models.report import report

    return report()
