"""The cards of the models at hand, found and read without loading torch."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from ..core.errors import ModelError, RegistryError
from ..core.model_card import ModelCard
from ..core.registry import resolve

__all__ = ["CARD", "WEIGHTS", "find_model", "list_cards", "read_card", "user_folder"]

CARD: Final = "card.json"
WEIGHTS: Final = "weights.safetensors"
_BUNDLED: Final = Path(__file__).resolve().parent / "weights"


def user_folder() -> Path:
    """Return where the user's own models are kept; ``NAPARI_UNET_MODELS`` overrides the platform's data folder."""
    if given := os.environ.get("NAPARI_UNET_MODELS"):
        return Path(given)
    home = Path.home()
    places = {
        "win32": Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")),
        "darwin": home / "Library" / "Application Support",
    }
    default = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    return places.get(sys.platform, default) / "napari-unet" / "models"


def _folders() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (user_folder(), _BUNDLED):
        if root.is_dir():
            # Written last, so a bundled model is never hidden by a user's folder of the same name.
            found |= {p.name: p for p in sorted(root.iterdir()) if (p / CARD).is_file() and p.name[0] != "."}
    return found


def list_cards() -> list[ModelCard]:
    """Return the cards of all models at hand, bundled ones first; damaged ones are left out.

    A card bears the name of its folder, which is what :func:`find_model` looks for: folders may be copied and renamed.
    """
    cards = []
    for name, folder in _folders().items():
        try:
            card = read_card(folder).model_copy(update={"name": name})
            cards.append((folder.parent != _BUNDLED, name, card))
        except ModelError:
            continue
    return [card for _, _, card in sorted(cards, key=lambda row: row[:2])]


def find_model(name: str) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name : str
        A name from :func:`list_cards`, or the path of a model folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If there is no such model; the message lists those at hand.
    """
    folders = _folders()
    if name in folders:
        return folders[name]
    if Path(name).exists():
        return Path(name)
    known = ", ".join(sorted(folders)) or "none"
    raise ModelError(f"There is no model called '{name}'. At hand: {known}. Or give the path of a model folder.")


def read_card(folder: Path) -> ModelCard:
    """Read a model's card.

    Parameters
    ----------
    folder : Path
        A model folder.

    Returns
    -------
    ModelCard
        The checked card.

    Raises
    ------
    ModelError
        If the folder is no model or its card is damaged.
    """
    file = folder / CARD
    if not file.is_file():
        what = {True: "a file", False: f"a folder without {CARD}"}[folder.is_file()]
        found = what if folder.exists() else "no such folder"
        raise ModelError(
            f"'{folder}' is not a model of this program ({found}). A model is a folder with {CARD} and {WEIGHTS}; "
            "'napari-unet models' lists those at hand."
        )
    try:
        card = ModelCard.model_validate(json.loads(file.read_text(encoding="utf-8")))
        resolve("nets", card.net.architecture)
        resolve("targets", card.target.name)
    except (ValidationError, ValueError, OSError, RecursionError) as error:
        raise ModelError(f"The card {file} cannot be used: {error}. Get the model folder again.") from error
    except RegistryError as error:
        raise ModelError(f"The card {file} asks for what this version does not have: {error} Or update it.") from error
    return card
