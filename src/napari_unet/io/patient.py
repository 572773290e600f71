"""Stores on servers, which fail now and then: what may come if it is asked for again is asked for again."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from zarr.storage import FsspecStore, WrapperStore

__all__ = ["Patient", "open_address"]

_TRIES: Final = 5
_PAUSE: Final = 0.1  # seconds before the second try; twice as long before each that follows
_NEVER: Final = range(400, 500)  # what servers say of requests that will fail again
_LATER: Final = (408, 425, 429)  # but these


class Patient(WrapperStore[Any]):
    """A store that is asked up to five times for what it fails to give.

    What it says is not there is not asked for again, nor what needs other rights.
    """

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return a file, or a part of one; see :meth:`zarr.abc.store.Store.get`."""
        for attempt in range(_TRIES):
            try:
                return await self._store.get(key, prototype, byte_range)
            except Exception as error:
                if attempt == _TRIES - 1 or not _may_pass(error):
                    raise
            await asyncio.sleep(_PAUSE * 2**attempt)
        return None


def open_address(address: str) -> Patient:
    """Return the store at an address.

    Parameters
    ----------
    address : str
        That fsspec knows.

    Returns
    -------
    Patient
        Read only; nothing was asked for yet.

    Raises
    ------
    ImportError, ValueError
        If nobody knows how to open such addresses.
    """
    return Patient(FsspecStore.from_url(address, read_only=True))


def _may_pass(error: Exception) -> bool:
    """Say whether it may go well another time: the connection was lost, or the server was busy."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status not in _NEVER or status in _LATER
    return not isinstance(error, PermissionError | ValueError | TypeError | KeyError | ImportError | AttributeError)
