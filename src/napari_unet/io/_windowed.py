"""Arrays that read, or draw, where they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Windowed"]


class Windowed:
    """What bands, masks and drawings have in common: an array that is read by windows."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Load everything, as numpy asks for it."""
        return np.asarray(self[()], dtype=dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a part: whole numbers and slices with steps from 1, as for numpy."""
        parts = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        window, rest = [], []
        for part, n in zip(parts, self.shape, strict=True):
            if isinstance(part, slice):
                start, stop, step = part.indices(n)
                if step < 1:
                    raise IndexError("It is read forwards: the steps of a slice must be 1 or more.")
                window.append(slice(start, max(start, stop)))
                rest.append(slice(None, None, step))
            else:
                number = int(part) + (n if part < 0 else 0)
                if not 0 <= number < n:
                    raise IndexError(f"{part} lies outside of an axis of {n} pixels.")
                window.append(slice(number, number + 1))
                rest.append(0)  # type: ignore[arg-type]
        if any(w.start == w.stop for w in window):
            return np.zeros([w.stop - w.start for w in window], self.dtype)[tuple(rest)]
        return self._read(window)[tuple(rest)]

    def _read(self, window: Sequence[slice]) -> npt.NDArray[Any]:
        raise NotImplementedError
