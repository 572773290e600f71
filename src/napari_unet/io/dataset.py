"""What ``dataset.json`` says of a folder of annotated images: names of channels and classes, what nobody knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..core.errors import TrainingDataError

__all__ = ["Dataset", "read_dataset"]

_FILE: Final = "dataset.json"
_LARGEST: Final = 2**24  # bytes
_LONGEST: Final = 80  # letters of a name
_MOST: Final = 1000
_BETWEEN: Final = re.compile(r"[\s,;=]+")  # what stands between names elsewhere


class Dataset(NamedTuple):
    """What channels are called in their order, which value in the labels means which class, and which means nothing."""

    channels: tuple[str, ...] = ()
    classes: tuple[tuple[int, str], ...] = ()
    ignored: tuple[int, ...] = ()


def read_dataset(folder: Path) -> Dataset:
    """Read the names in a description of the Medical Segmentation Decathlon or of nnU-Net, where there is one.

    Parameters
    ----------
    folder : Path
        May hold ``dataset.json``, with ``channel_names`` or ``modality`` (``{"0": "T1"}``), and ``labels``
        (``{"1": "tumor"}`` or ``{"tumor": 1}``). The background and what nnU-Net ignores are no classes: where labels
        say ``ignore``, nobody knows what there is. Names of regions, which are lists of values, are left out, all of
        them.

    Returns
    -------
    Dataset
        Empty where nothing is said, or names are not different.

    Raises
    ------
    TrainingDataError
        If the file cannot be read, or names are no names.
    """
    file = folder / _FILE
    if not file.is_file():
        return Dataset()
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST:,} bytes")
        said = json.loads(file.read_text("utf-8-sig"))
        if not isinstance(said, dict):
            raise ValueError("it holds no object")
        channels = _by_number(said.get("channel_names", said.get("modality", {})), "channel_names", "channel")
        labels = said.get("labels", {})
        unknown = labels.get("ignore") if isinstance(labels, dict) else None
        classes = _by_number(_turned(labels), "labels", "class")
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingDataError(
            f"'{file}' cannot be used: {error}. Correct it as nnU-Net describes it, or take it out: only names of "
            "channels and classes are taken from it."
        ) from error
    if [number for number, _ in channels] != list(range(len(channels))):
        raise TrainingDataError(f"'{file}': the channels must be numbered 0, 1 and so on. Correct 'channel_names'.")
    kept = tuple((number, name) for number, name in classes if number and name.casefold() != "ignore")
    ignored = {number for number, name in classes if number and name.casefold() == "ignore"}
    if isinstance(unknown, int) and unknown > 0:
        ignored.add(unknown)  # beside regions, which are left out
    return Dataset(tuple(name for _, name in _different(channels)), _different(kept), tuple(sorted(ignored)))


def _turned(said: Any) -> Any:
    """Return labels by value: newer files give the value of each name."""
    if not isinstance(said, dict) or not said or all(isinstance(name, str) for name in said.values()):
        return said
    if any(isinstance(value, list) for value in said.values()):
        return {}
    if len({str(value) for value in said.values()}) < len(said):
        raise ValueError("'labels' gives one value to several names")
    return {str(value): name for name, value in said.items()}


def _by_number(said: Any, what: str, noun: str) -> tuple[tuple[int, str], ...]:
    """Return names in the order of their numbers."""
    if not isinstance(said, dict) or len(said) > _MOST:
        raise ValueError(f'\'{what}\' must be names by number, such as {{"0": "T1"}}, at most {_MOST}')
    found = {}
    for number, name in said.items():
        if not (isinstance(number, str) and number.isdecimal() and len(number) < 6 and isinstance(name, str)):
            raise ValueError(f"'{what}' has the entry {str(number)[:_LONGEST]!r}: {str(name)[:_LONGEST]!r}")
        found[int(number)] = _plain(name, what, noun)
    return tuple(sorted(found.items()))


def _plain(name: str, what: str, noun: str) -> str:
    """Return a name as it can be written anywhere."""
    words = _BETWEEN.sub(" ", name).strip()
    if not words or len(words) > _LONGEST or not words.isprintable():
        raise ValueError(f"'{what}' has the name {name[:_LONGEST]!r}: one of up to {_LONGEST} letters is expected")
    return f"{noun} {words}" if words.isdecimal() else words


def _different(pairs: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """Return names if they tell things apart."""
    return pairs if len({name.casefold() for _, name in pairs}) == len(pairs) else ()
