"""Loading a model by name or folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from .cards import CARD, WEIGHTS, find_model, read_card
from .model import Model, choose_device
from .store import read_network

__all__ = ["load_model"]


def load_model(name: str = "nuclei", device: str = "auto") -> Model:
    """Load a model.

    Parameters
    ----------
    name : str
        A name from :func:`list_models`, or the path of a model folder.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    Model
        Ready to predict.

    Raises
    ------
    ModelError
        If the model is unknown or damaged, or the device is not there.
    """
    folder = find_model(name)
    changed = tuple((folder / file).stat().st_mtime_ns for file in (CARD, WEIGHTS) if (folder / file).is_file())
    return _loaded(folder.resolve(), changed, choose_device(device))


@lru_cache(maxsize=2)
def _loaded(folder: Path, changed: tuple[int, ...], device: str) -> Model:
    """Load a model once; `changed` tells a folder from what it was before."""
    card = read_card(folder)
    return Model(card, read_network(folder, card), device)
