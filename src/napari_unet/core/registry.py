"""A folder is a registry and a file is an entry: adding a file adds the entry.

Names are listed without importing anything; an entry's module is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Final

from .errors import RegistryError

__all__ = ["ALIASES", "load", "names", "path", "resolve"]

_ROOT: Final = Path(__file__).resolve().parent.parent
# (room, old name) -> new name: cards written by earlier versions keep loading.
ALIASES: Final[dict[tuple[str, str], str]] = {}


def names(room: str, suffix: str = ".py") -> list[str]:
    """List the entries of a room.

    Parameters
    ----------
    room : str
        Folder below the package, e.g. ``"nets"``, ``"targets"`` or ``"tasks"``.
    suffix : str
        ``".py"`` for code, ``".toml"`` for data.

    Returns
    -------
    list of str
        Sorted names of the files that do not start with an underscore.

    Raises
    ------
    RegistryError
        If there is no such room.
    """
    folder = _ROOT / room
    if not folder.is_dir():
        raise RegistryError(f"There is no registry called '{room}'.")
    return sorted(p.stem for p in folder.glob(f"*{suffix}") if not p.name.startswith("_"))


def resolve(room: str, name: str, suffix: str = ".py") -> str:
    """Return the present name of an entry, following renames.

    Parameters
    ----------
    room, name, suffix : str
        As in :func:`names`.

    Returns
    -------
    str
        The name of an entry that exists.

    Raises
    ------
    RegistryError
        If the room has no such entry; the message lists those it has.
    """
    known = names(room, suffix)
    found = ALIASES.get((room, name), name)
    if found not in known:
        raise RegistryError(f"'{name}' is not in {room}. Choose one of: {', '.join(known)}.")
    return found


def load(room: str, name: str) -> ModuleType:
    """Import the module of an entry.

    Parameters
    ----------
    room, name : str
        As in :func:`names`.

    Returns
    -------
    module
        ``napari_unet.<room>.<name>``.

    Raises
    ------
    RegistryError
        If the room has no such entry.
    """
    return importlib.import_module(f"napari_unet.{room}.{resolve(room, name)}")


def path(room: str, name: str, suffix: str) -> Path:
    """Return the file of a data entry, e.g. a task's TOML.

    Parameters
    ----------
    room, name, suffix : str
        As in :func:`names`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RegistryError
        If the room has no such entry.
    """
    return _ROOT / room / f"{resolve(room, name, suffix)}{suffix}"
