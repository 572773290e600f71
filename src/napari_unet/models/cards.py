"""The cards of the models at hand, found and read without loading torch."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from ..core.errors import ModelError, RegistryError, SpecError
from ..core.model_card import ModelCard
from ..core.registry import resolve
from ..io.choosing import data_folder
from ._old_cards import renewed

__all__ = [
    "CARD", "CARD_TOML", "FOLDS_ENDING", "WEIGHTS", "bundled", "check_not_bundled", "find_card", "find_model",
    "list_cards", "list_damaged", "read_card", "user_folder",
]  # fmt: skip

CARD: Final = "card.json"
CARD_TOML: Final = "card.toml"  # the same, written by hand
WEIGHTS: Final = "weights.safetensors"
FOLDS_ENDING: Final = ".folds"  # of the folder that keeps the models of a cross-validation
_LARGEST: Final = 2**22  # bytes of a card
_BUNDLED: Final = Path(__file__).resolve().parent / "weights"


def user_folder() -> Path:
    """Return where the user's own models are kept; ``NAPARI_UNET_MODELS`` overrides the platform's data folder."""
    if given := os.environ.get("NAPARI_UNET_MODELS"):
        return Path(given)
    return data_folder() / "models"


def _folders() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (user_folder(), _BUNDLED):
        if root.is_dir():
            # Written last, so a bundled model is never hidden by a user's folder of the same name.
            found |= {p.name: p for p in sorted(root.iterdir()) if find_card(p) and p.name[0] != "."}
    return found


def find_card(folder: Path) -> Path | None:
    """Return the card of a folder, or None if it is no model."""
    return next((file for name in (CARD, CARD_TOML) if (file := folder / name).is_file()), None)


def bundled(folder: Path) -> bool:
    """Say whether a model folder belongs to the program."""
    return folder.resolve().parent == _BUNDLED.resolve()


def check_not_bundled(name: str) -> None:
    """Refuse the name of a model of the program for another one; a ModelError says so."""
    if find_card(_BUNDLED / name):
        raise ModelError(f"'{name}' is a model of the program, which another one cannot replace. Give it another name.")


def list_cards() -> list[ModelCard]:
    """Return the cards of all models at hand, bundled ones first; damaged ones are left out.

    A card bears the name of its folder, which is what :func:`find_model` looks for: folders may be copied and renamed.
    """
    cards = []
    for name, folder in _folders().items():
        try:
            card = _usable(folder).model_copy(update={"name": name})
            cards.append((folder.parent != _BUNDLED, name, card))
        except ModelError:
            continue
    return [card for _, _, card in sorted(cards, key=lambda row: row[:2])]


def list_damaged() -> list[tuple[str, str]]:
    """Return the user's models that cannot be used, and why.

    Returns
    -------
    list of (str, str)
        Name of the folder, and what is wrong with its card or that its weights are missing. Weights are not read: that
        is done when the model is loaded.
    """
    damaged = []
    for name, folder in sorted(_folders().items()):
        if bundled(folder):
            continue
        try:
            _usable(folder)
        except ModelError as error:
            damaged.append((name, str(error)))
    return damaged


def _usable(folder: Path) -> ModelCard:
    """Read a card whose weights are there."""
    card = read_card(folder)
    file = folder / (card.foreign.file if card.foreign else WEIGHTS)
    if not file.is_file():
        raise ModelError(f"{file} is missing. Get the model folder again.")
    return card


def find_model(name: str) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name : str
        A name from :func:`list_cards`, the path of a model folder, or a fold's model among those of the user, such as
        ``my-organs.folds/my-organs-fold-1``.

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
    if len(fold := Path(name).parts) == 2 and fold[0].endswith(FOLDS_ENDING) and find_card(user_folder() / name):
        return user_folder() / name
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
    file = find_card(folder)
    if file is None:
        what = {True: "a file", False: f"a folder without {CARD}"}[folder.is_file()]
        found = what if folder.exists() else "no such folder"
        raise ModelError(
            f"'{folder}' is not a model of this program ({found}). A model is a folder with {CARD} and {WEIGHTS}; "
            "'napari-unet models' lists those at hand."
        )
    try:
        said = renewed(_parsed(file))
        if not isinstance(said, dict):
            raise ValueError("it holds no fields")
        card = ModelCard.of(**said)
        if card.foreign is None:
            resolve("nets", card.net.architecture)
        resolve("targets", card.target.name)
    except (SpecError, ValueError, OSError, RecursionError) as error:
        why = str(error).rstrip(".")
        raise ModelError(
            f"The card {file} cannot be used: {why}. Get the model folder again, or update this program if the model "
            "is newer than it."
        ) from error
    except RegistryError as error:
        raise ModelError(f"The card {file} asks for what this version does not have: {error} Or update it.") from error
    return card


def _parsed(file: Path) -> Any:
    """Return what a card says, unchecked."""
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    text = file.read_text(encoding="utf-8")
    return tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
