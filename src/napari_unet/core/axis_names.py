"""Names of axes: one letter each, after OME: ``t`` time, ``c`` channel, ``z``, ``y`` and ``x``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .errors import AxesError

__all__ = ["AXES", "guess_axes", "parse_axes"]

AXES: Final = "tczyx"
_ALIASES: Final = {"time": "t", "channel": "c", "s": "c", "rgb": "c", "depth": "z", "plane": "z"}
_MAX_RGB: Final = 4
_LEAST_PLANE: Final = 64  # pixels along both sides, from which on a last axis of two is channels


def parse_axes(text: str | Sequence[str]) -> str:
    """Turn a user's or a layer's axis names into letters.

    Parameters
    ----------
    text : str or sequence of str
        ``"tyx"``, ``"TZYX"`` or ``("time", "y", "x")``.

    Returns
    -------
    str
        Letters of ``tczyx``.

    Raises
    ------
    AxesError
        If a name is unknown, appears twice, or ``y`` or ``x`` is missing.
    """
    words = [w.strip().lower() for w in text]
    axes = "".join(_ALIASES.get(w, w[:1] if w[:1] in AXES and len(w) <= 1 else w) for w in words)
    unknown = [w for w in words if _ALIASES.get(w, w) not in tuple(AXES)]
    if unknown:
        raise AxesError(f"Unknown axes {unknown} in '{text}'. Use the letters {AXES}, for example 'tyx' or 'zcyx'.")
    if len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        raise AxesError(f"The axes '{axes}' must name y and x, and each axis once. Example: 'tyx'.")
    return axes


def guess_axes(shape: tuple[int, ...], dtype: Any = None) -> str:
    """Guess the axes of an array that does not say.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype, optional
        A last axis of 3 or 4 is color only for 8-bit data.

    Returns
    -------
    str
        ``"yx"``, ``"yxc"`` for color pictures and what would be planes two pixels wide, or ``"zyx"`` for a stack.

    Raises
    ------
    AxesError
        If there are several possible answers (four and more dimensions).
    """
    color = len(shape) >= 3 and shape[-1] in (3, _MAX_RGB) and str(dtype) == "uint8"
    plain = {2: "yx", 3: "zyx"}
    narrow = len(shape) == 3 and shape[-1] == 2 and min(shape[:2]) >= _LEAST_PLANE
    if (color and len(shape) == 3) or narrow:
        return "yxc"
    if len(shape) in plain:
        return plain[len(shape)]
    raise AxesError(
        f"An array of shape {shape} can be read in several ways. Say what its axes are, "
        "for example axes='tzyx' (time, z, y, x) or axes='tcyx'; on the command line --axes tzyx."
    )
