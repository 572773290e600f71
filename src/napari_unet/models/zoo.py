"""Loading a model by name or folder."""

from __future__ import annotations

from .cards import find_model, read_card
from .model import Model
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
    card = read_card(folder)
    return Model(card, read_network(folder, card), device)
