"""The identity of labels: a hash that can be put together from parts, whoever has them and in whatever order.

Labels are cut into blocks of 512 x 512 pixels of the last two axes. Each block has a digest, the sha256 of its values;
the hash of the labels is the sha256 of their shape and of all digests in order. So it needs no more than one block in
memory, and a run that writes labels part by part knows their hash without reading them again.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .errors import ImageError
from .steps import Progress, Steps, finish

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "BLOCK", "block_digests", "block_numbers", "digest_steps", "hash_of", "label_hash", "label_hash_steps",
]  # fmt: skip

BLOCK: Final = 512
_LENGTH: Final = 32  # bytes of a sha256
_WINDOW_BYTES: Final = 64 << 20

Window = tuple[slice, ...]


def block_digests(labels: npt.NDArray[np.integer[Any]]) -> list[bytes]:
    """Return the sha256 of every block of some labels, or of a window of them.

    Parameters
    ----------
    labels : ndarray of int
        Any shape; fewer than two axes count as the last ones of an array with more. A window must start at multiples of
        512 along the last two axes, and end at such or with the labels.

    Returns
    -------
    list of bytes
        One digest of 32 bytes for each block: in C order over the leading axes, then rows of blocks, then blocks along
        the row. At the far edges blocks are smaller. Hashed are the values as unsigned numbers of 32 bits (little
        endian, C order); in a block with a larger one, which no file of labels holds, as numbers of 64 bits.
    """
    import numpy as np

    planes = np.asarray(labels)
    planes = planes.reshape((1,) * (2 - planes.ndim) + planes.shape)
    rows, columns = (range(0, n, BLOCK) for n in planes.shape[-2:])
    return [
        hashlib.sha256(_bytes(planes[at][y : y + BLOCK, x : x + BLOCK])).digest()
        for at in np.ndindex(planes.shape[:-2])
        for y, x in itertools.product(rows, columns)
    ]


def block_numbers(shape: Sequence[int], window: Window) -> npt.NDArray[np.int64]:
    """Return the places of a window's blocks among those of the whole.

    Parameters
    ----------
    shape : sequence of int
        Of all labels.
    window : tuple of slice
        One for each axis, without steps; see :func:`block_digests`.

    Returns
    -------
    ndarray of int64, shape (n,)
        The place, from 0, of each digest that :func:`block_digests` returns for the window.

    Raises
    ------
    ImageError
        If the window does not start and end between blocks.
    """
    import numpy as np

    blocks = [1] * len(shape)
    blocks[-2:] = [BLOCK] * len(blocks[-2:])
    numbers = np.zeros((1,) * len(shape), np.int64)
    for axis, (length, part, block) in enumerate(zip(shape, window, blocks, strict=True)):
        start, stop, _ = part.indices(length)
        if start % block or (stop % block and stop < length):
            raise ImageError(
                f"The window {window} of labels of the shape {tuple(shape)} cuts through blocks. Take windows that "
                f"start and end at multiples of {BLOCK} along the last two axes."
            )
        along = np.arange(start // block, -(-stop // block)).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
        numbers = numbers * -(-length // block) + along
    return numbers.reshape(-1)


def hash_of(shape: Sequence[int], digests: Iterable[bytes]) -> str:
    """Put the hash of labels together from the digests of their blocks.

    Parameters
    ----------
    shape : sequence of int
        Of the labels.
    digests : iterable of bytes
        One of 32 bytes for each block, in the order of :func:`block_digests` for all labels.

    Returns
    -------
    str
        The same as :func:`label_hash` of the labels, hexadecimal.

    Raises
    ------
    ImageError
        If there are more or fewer digests than blocks.
    """
    total = hashlib.sha256(",".join(map(str, shape)).encode())
    count = 0
    for digest in digests:
        total.update(digest)
        count += 1
    expected = math.prod(shape[:-2]) * math.prod(-(-n // BLOCK) for n in shape[-2:])
    if count != expected:
        raise ImageError(
            f"Labels of the shape {tuple(shape)} have {expected} blocks, but {count} digests were given. "
            "Give one for each block."
        )
    return total.hexdigest()


def label_hash(labels: Any) -> str:
    """Hash labels independently of their integer type and of how they are stored.

    Parameters
    ----------
    labels : array-like of int
        Any shape: numpy, or a zarr or dask array, which is read window by window and never held as a whole.

    Returns
    -------
    str
        sha256 of shape and values, hexadecimal; see :func:`hash_of`.
    """
    return finish(label_hash_steps(labels))


def label_hash_steps(labels: Any) -> Steps[str]:
    """Hash labels step by step; see :func:`label_hash`."""
    shape = tuple(int(n) for n in labels.shape)
    digests = yield from digest_steps(labels)
    return hash_of(shape, (bytes(digests[at : at + _LENGTH]) for at in range(0, len(digests), _LENGTH)))


def digest_steps(labels: Any) -> Steps[memoryview]:
    """Return the digests of all blocks of some labels, step by step.

    Parameters
    ----------
    labels : array-like of int
        As for :func:`label_hash`.

    Returns
    -------
    memoryview
        32 bytes for each block, in the order of :func:`block_digests`.

    Yields
    ------
    Progress
        One for every window that was read.
    """
    import numpy as np

    shape = tuple(int(n) for n in labels.shape)
    if isinstance(labels, np.ndarray):
        return memoryview(b"".join(block_digests(labels)))
    found = bytearray(_LENGTH * math.prod(shape[:-2]) * math.prod(-(-n // BLOCK) for n in shape[-2:]))
    windows = [*_windows(labels)]
    for done, window in enumerate(windows):
        digests = block_digests(np.asarray(labels[window]))
        for number, digest in zip(block_numbers(shape, window).tolist(), digests, strict=True):
            found[number * _LENGTH : (number + 1) * _LENGTH] = digest
        yield Progress(done + 1, len(windows), "Verifying the labels that are there")
    return memoryview(found)


def _bytes(block: npt.NDArray[np.integer[Any]]) -> memoryview:
    import numpy as np

    small = block.dtype.itemsize <= 4 or block.max() < 2**32
    return np.ascontiguousarray(block, dtype="<u4" if small else "<i8").data


def _windows(labels: Any) -> Iterator[Window]:
    """Cut labels into windows of whole blocks and, as far as memory allows, whole chunks of their store."""
    import numpy as np

    shape = tuple(int(n) for n in labels.shape)
    chunks = getattr(labels, "chunks", None) or (1,) * len(shape)
    step = [min(n, BLOCK) if axis >= len(shape) - 2 else 1 for axis, n in enumerate(shape)]
    left = _WINDOW_BYTES // labels.dtype.itemsize // max(1, math.prod(step))
    for axis in reversed(range(len(shape))):
        chunk = int(np.max(chunks[axis]))  # one length in zarr, many in dask
        times = max(1, min(left, -(-min(chunk, shape[axis]) // max(1, step[axis]))))
        step[axis] *= times
        left //= times
    for start in itertools.product(*(range(0, n, max(1, s)) for n, s in zip(shape, step, strict=True))):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(start, step, shape, strict=True))
