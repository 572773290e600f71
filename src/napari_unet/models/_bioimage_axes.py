"""Axes and sizes as bioimage.io describes them, in this program's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..core.errors import ModelError

__all__ = ["channels_of", "geometry", "letters_of"]

_SPACE: Final = "zyx"


def letters_of(tensor: Any) -> str:
    """Return a tensor's axes as letters."""
    letters = ""
    for axis in tensor.axes:
        letter = {"batch": "b", "channel": "c"}.get(axis.type, str(axis.id) if axis.type == "space" else "")
        if letter not in ("b", "c", *_SPACE):
            raise ModelError(f"Its tensor '{tensor.id}' has an axis '{axis.id}', which images do not have here.")
        letters += letter
    if not {"y", "x"} <= set(letters):
        raise ModelError(f"Its tensor '{tensor.id}' has the axes '{letters}': no image, so it cannot be used here.")
    return letters


def channels_of(tensor: Any) -> list[str]:
    """Return the names of a tensor's channels; empty ones where nothing is known."""
    found = next((axis.channel_names for axis in tensor.axes if axis.type == "channel"), [str(tensor.id)])
    # Names that were only made up when an old description was converted say nothing.
    return ["" if str(name).removeprefix("channel").isdigit() else str(name) for name in found]


def geometry(entry: Any, outputs: Sequence[Any]) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Return the lengths that a network takes along each spatial axis, and the halo."""
    known = {str(axis.id): axis for axis in entry.axes if axis.type == "space"}
    sizes = {letter: _lengths(known[letter], known) for letter in _SPACE if letter in known}
    halo = dict.fromkeys(sizes, 0)
    for tensor in outputs:
        for axis in (axis for axis in tensor.axes if axis.type == "space"):
            letter = str(axis.id)
            if letter not in sizes:
                raise ModelError(f"Its output '{tensor.id}' has an axis '{letter}' that its input does not have.")
            cut = sizes[letter][0] - _lengths(axis, known)[0]
            if _lengths(axis, known)[1] != sizes[letter][1] or cut < 0:
                raise ModelError(
                    f"Its output '{tensor.id}' has another size than the image. Only networks that keep the size, or "
                    "cut the border off, can be used here."
                )
            halo[letter] = max(halo[letter], int(getattr(axis, "halo", 0) or 0) + (cut + 1) // 2)
    return tuple(sizes.values()), tuple(halo.values())


def _lengths(axis: Any, known: dict[str, Any]) -> tuple[int, int]:
    """Return the smallest length of an axis and the step to the next; a step of 0 means that it is fixed."""
    size = axis.size
    if isinstance(size, int):
        return size, 0
    if hasattr(size, "step"):
        return int(size.min), int(size.step)
    other = known.get(str(size.axis_id))
    if other is None or not hasattr(size, "offset") or other is axis:
        raise ModelError(f"The size of its axis '{axis.id}' is not known before the network has run.")
    least, step = _lengths(other, {})
    ratio = other.scale / axis.scale
    if ratio != 1:
        raise ModelError("It makes images larger or smaller, so it cannot be used here.")
    return least + int(size.offset), step
