"""Large TIFF files as arrays that read where they are asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Coroutine
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.buffer import default_buffer_prototype

from ..core.windows import common, since

__all__ = ["TiffTiles"]


class TiffTiles:
    """A level as tifffile shows it to zarr, but decoded in the thread that asks.

    zarr hands every chunk through several threads. Where all processors are busy with a network, waiting for a turn in
    each takes many times longer than the decoding.

    Parameters
    ----------
    store : tifffile.zarr.ZarrTiffStore
        Of one level, with one worker.
    """

    def __init__(self, store: Any) -> None:
        self.array = zarr.open_array(store, mode="r")
        self.shape, self.dtype, self.ndim = self.array.shape, self.array.dtype, self.array.ndim
        self.chunks = self.array.chunks
        metadata = self.array.metadata.to_dict()
        self._plain = not metadata.get("compressor") and not metadata.get("filters") and metadata.get("order") == "C"
        self._store, self._prototype = store, default_buffer_prototype()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Load everything, as numpy asks for it."""
        return np.asarray(self.array[...], dtype=dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        index : any
            As for zarr; a tuple of slices of non-negative bounds, one for each axis, takes the short way.

        Returns
        -------
        ndarray
            A copy.
        """
        parts = index if isinstance(index, tuple) else (index,)
        short = self._plain and len(parts) == self.ndim and all(isinstance(p, slice) for p in parts)
        if not short or any(p.step not in (None, 1) or min(p.start or 0, p.stop or 0) < 0 for p in parts):
            return np.asarray(self.array[index])
        window = [slice(*p.indices(n)) for p, n in zip(parts, self.shape, strict=True)]
        out = np.empty([max(0, w.stop - w.start) for w in window], self.dtype)
        if not out.size:
            return out
        touched = (range(w.start // c, -(-w.stop // c)) for w, c in zip(window, self.chunks, strict=True))
        for place in itertools.product(*touched):
            tile = [slice(i * c, (i + 1) * c) for i, c in zip(place, self.chunks, strict=True)]
            both = common(window, tile)
            out[since(both, window)] = self._chunk(place)[since(both, tile)]
        return out

    def _chunk(self, place: tuple[int, ...]) -> npt.NDArray[Any]:
        key = self.array.metadata.encode_chunk_key(place)
        found = _at_once(self._store.get(key, self._prototype))
        if found is None:
            return np.broadcast_to(np.asarray(self.array.fill_value, self.dtype), self.chunks)
        values: npt.NDArray[Any] = found.as_numpy_array().view(self.dtype)
        if values.size != math.prod(self.chunks):
            raise ValueError(f"a part has {values.size} pixels, not {math.prod(self.chunks)}")
        return values.reshape(self.chunks)


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what is asynchronous by its name only."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("tifffile waits for another thread, against expectation. Please report this")
