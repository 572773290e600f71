"""Loading a model by name or folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from ..core.errors import ModelError
from .cards import find_model, read_card
from .foreign import ForeignModel, open_foreign
from .model import Model
from .runtimes import choose_runtime
from .store import read_network

__all__ = ["load_model"]

_KEPT: Final = 8  # models that stay in memory


def load_model(name: str = "nuclei", device: str = "auto", runtime: str = "auto") -> Model | ForeignModel:
    """Load a model.

    Parameters
    ----------
    name : str
        A name from :func:`list_models`, or the path of a model folder.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    runtime : str
        ``"auto"``, or one of :data:`~napari_unet.core.runtimes.RUNTIMES`.

    Returns
    -------
    Model or ForeignModel
        Ready to predict; the same object as long as its folder stays as it is.

    Raises
    ------
    MissingExtraError
        If the runtime's package is not installed.
    ModelError
        If the model is unknown or damaged, or device or runtime are not there or do not suit it.
    """
    folder = find_model(name)
    card = read_card(folder)
    if card.foreign is not None and device == "auto":
        device = "cpu"
    chosen, where = choose_runtime(runtime, device, card.net.ndim)
    if card.foreign is not None and chosen != "torch":
        raise ModelError(
            f"The model '{card.name}' was made by another program and brings its own runtime. Choose the runtime "
            "'auto'."
        )
    files = sorted(file for file in folder.iterdir() if file.is_file())
    changed = tuple((file.name, file.stat().st_mtime_ns) for file in files)
    return _loaded(folder.resolve(), changed, where, chosen)


@lru_cache(maxsize=_KEPT)
def _loaded(folder: Path, changed: tuple[tuple[str, int], ...], device: str, runtime: str) -> Model | ForeignModel:
    """Load a model once; `changed` tells a folder from what it was before."""
    card = read_card(folder)
    if card.foreign is not None:
        return open_foreign(folder, card, device)
    return Model(card, read_network(folder, card), device, runtime)
