"""The ending of a file's name, also where it has two parts."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

__all__ = ["stem_of", "suffix_of"]

_DOUBLE: Final = (".nii.gz",)


def suffix_of(path: PurePath) -> str:
    """Return the ending that says what a file is, in small letters: ``.nii.gz`` is one."""
    name = path.name.lower()
    return next((ending for ending in _DOUBLE if name.endswith(ending)), path.suffix.lower())


def stem_of(path: PurePath) -> str:
    """Return the name of a file without what says its format: also without ``.ome``."""
    return path.name[: len(path.name) - len(suffix_of(path))].removesuffix(".ome")
