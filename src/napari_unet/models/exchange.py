"""Models that travel: add one from anywhere, remove one, and write one for others or for other programs.

Nothing of a stranger's file is kept before it was checked and has run; then it appears among the user's models whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ..core.errors import ModelError, OutputError
from ..core.model_card import ModelCard, is_plain
from ..io.atomic import atomic_file, atomic_folder, patiently
from ._arrivals import Wish, prepare
from .bioimage_writer import write_package
from .cards import (
    FOLDS_ENDING,
    WEIGHTS,
    check_not_bundled,
    find_card,
    find_model,
    list_cards,
    read_card,
    user_folder,
)
from .portable import read_scores, write_onnx, write_torchscript
from .store import copy_model

__all__ = ["FORMATS", "add_model", "export_model", "remove_model"]

FORMATS: Final = ("folder", "zip", "bioimageio", "onnx", "torchscript")
_STORED: Final = (".safetensors", ".onnx", ".pt")  # what a zip cannot make smaller


def add_model(
    source: Path,
    name: str | None = None,
    consent: bool = False,
    target: str | None = None,
    overwrite: bool = False,
) -> ModelCard:
    """Add a model to the user's own; it appears whole or not at all.

    Parameters
    ----------
    source : Path
        A model folder, a zip archive of one, a bioimage.io package (zip or folder), or a bare ONNX or TorchScript file.
    name : str, optional
        What it is to be called; else what it is called where it comes from.
    consent : bool
        Allow Python code that comes with the model to run, now and whenever the model is used.
    target : str, optional
        Entry of ``targets/``: what the channels of another program's network mean, where that is not known.
    overwrite : bool
        Replace a model of the user that has this name.

    Returns
    -------
    ModelCard
        Of the model as it was added.

    Raises
    ------
    ModelError
        If it is no model, is damaged, cannot be used here, needs consent, or its name is taken.
    MissingExtraError
        If a package is needed that is not installed.
    OutputError
        If it cannot be written.
    """
    source, home = Path(source), user_folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=home, prefix=".", suffix=".new", ignore_cleanup_errors=True) as place:
            try:
                card = prepare(source, Path(place), Wish(name, consent, target))
            except ModelError as error:
                said = str(error)
                for gone in ("unpacked", "ready"):
                    said = said.replace(str(Path(place, gone)), source.name)
                raise ModelError(f"'{source.name}' was not added. {said}") from error
            _check_free(card.name, overwrite)
            with atomic_folder(home / card.name, overwrite=overwrite) as part:
                for file in sorted(Path(place, "ready").iterdir()):
                    shutil.move(file, part / file.name)
    except OSError as error:
        raise OutputError(
            f"'{source}' could not be added to {home}: {error}. Check the folder and its space."
        ) from error
    return card


def _check_free(name: str, overwrite: bool) -> None:
    """Refuse a name that a new model cannot have."""
    folder = user_folder() / name
    check_not_bundled(name)
    if folder.exists() and (not overwrite or find_card(folder) is None):
        raise ModelError(
            f"There is '{name}' among your models already. Give the new one another name, or ask to overwrite the old."
        )


def remove_model(name: str) -> Path:
    """Remove one of the user's own models from the disk, and with it the models of its folds.

    Parameters
    ----------
    name : str
        Name of a folder among the user's models; damaged ones can be removed too.

    Returns
    -------
    Path
        The folder that is gone.

    Raises
    ------
    ModelError
        If the user has no such model; models of the program are never removed.
    OutputError
        If it cannot be removed.
    """
    folder = user_folder() / name
    if not is_plain(name) or folder.is_symlink() or not folder.is_dir() or find_card(folder) is None:
        known = any(card.name == name for card in list_cards())
        why = "It belongs to the program and stays." if known else "Models of your own are removed by their names."
        raise ModelError(f"'{name}' is none of your own models in {user_folder()}. {why}")
    folds = folder.with_name(f"{name}{FOLDS_ENDING}")
    for part in (folder, folds) if folds.is_dir() and not folds.is_symlink() else (folder,):
        gone = part.with_name(f".{uuid.uuid4().hex[:12]}.old")
        try:
            # In one step, so that half a model is never found under its name.
            patiently(os.rename, part, gone)
            patiently(shutil.rmtree, gone)
        except OSError as error:
            raise OutputError(f"'{part}' could not be removed: {error}. Close what has its files open.") from error
    return folder


def export_model(name: str, file: Path, format: str, overwrite: bool = False) -> Path:
    """Write a model so that others, or other programs, can use it. Nothing is sent anywhere.

    Parameters
    ----------
    name : str
        Name of a model at hand, or the path of a model folder.
    file : Path
        What to write: a new folder, or a file.
    format : {"folder", "zip", "bioimageio", "onnx", "torchscript"}
        As what.
    overwrite : bool
        Replace what is there; a folder only if it is a model.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    ModelError
        If the model is unknown or damaged, or cannot be written like this.
    MissingExtraError
        If a package is needed that is not installed.
    OutputError
        If it cannot be written there.
    """
    file, folder = Path(file), find_model(name)
    if format not in FORMATS:
        raise OutputError(f"'{format}' is no way to write a model. Choose one of: {', '.join(FORMATS)}.")
    card = read_card(folder)
    card = card.model_copy(update={"name": folder.name}) if is_plain(folder.name) else card
    _check_sound(folder, card)
    if format == "folder":
        if overwrite and file.is_dir() and any(file.iterdir()) and find_card(file) is None:
            raise OutputError(f"'{file}' is a folder with other things than a model. It is not overwritten.")
        with atomic_folder(file, overwrite=overwrite) as part:
            copy_model(folder, part, card)
        return file
    if file.exists() and not overwrite:
        raise OutputError(f"'{file}' exists. Choose another name, remove it first or ask to overwrite it.")
    with atomic_file(file) as part:
        _WRITERS[format](part, folder, card)
    return file


def _check_sound(folder: Path, card: ModelCard) -> None:
    """Refuse to hand on weights that are not those of the card."""
    file = folder / (card.foreign.file if card.foreign else WEIGHTS)
    if not file.is_file() or (card.sha256 and hashlib.sha256(file.read_bytes()).hexdigest() != card.sha256):
        raise ModelError(f"{file} is missing, or is not the file its card names. Get the model folder again.")


def _write_zip(file: Path, folder: Path, card: ModelCard) -> None:
    with TemporaryDirectory() as place, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        copy_model(folder, Path(place), card)
        for path in sorted(Path(place).iterdir()):
            # Without the time of writing: the same model makes the same archive.
            entry = zipfile.ZipInfo(path.name)
            entry.compress_type = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
            out.writestr(entry, path.read_bytes())


def _write_onnx(file: Path, folder: Path, card: ModelCard) -> None:
    if card.foreign is not None and card.foreign.format == "onnx":
        shutil.copyfile(folder / card.foreign.file, file)
    else:
        write_onnx(file, read_scores(folder, card))


def _write_torchscript(file: Path, folder: Path, card: ModelCard) -> None:
    if card.foreign is not None and card.foreign.format == "torchscript":
        shutil.copyfile(folder / card.foreign.file, file)
    else:
        write_torchscript(file, read_scores(folder, card))


_WRITERS: Final[dict[str, Callable[[Path, Path, ModelCard], None]]] = {
    "zip": _write_zip,
    "bioimageio": write_package,
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}
