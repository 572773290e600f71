"""Stores on servers, which fail now and then: what may go well another time is tried another time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from zarr.storage import FsspecStore, WrapperStore

__all__ = ["Patient", "open_address"]

T = TypeVar("T")
_TRIES: Final = 5
_TRIES_TO_WRITE: Final = 8  # a run of days hangs on it
_PAUSE: Final = 0.1  # seconds before the second try; twice as long before each that follows
_NEVER: Final = range(400, 500)  # what servers say of requests that will fail again
_LACKING: Final = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
_LATER: Final = (408, 425, 429)  # but these


class Patient(WrapperStore[Any]):
    """A store that is asked again for what it fails to give or to take, after a pause that grows.

    What it says is not there is not asked for again, nor what needs other rights. Who writes is told of all failures as
    OSError.
    """

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return a file, or a part of one; see :meth:`zarr.abc.store.Store.get`."""
        return await self._again(lambda: self._store.get(key, prototype, byte_range))

    async def exists(self, key: str) -> bool:
        """Say whether a file is there."""
        return await self._again(lambda: self._store.exists(key))

    async def set(self, key: str, value: Any) -> None:
        """Write a file as a whole; whoever reads it meanwhile gets all of the old one or all of the new one."""
        await self._again(lambda: self._store.set(key, value))

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Write a file unless it is there."""
        if not await self.exists(key):
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        """Remove a file, if it is there."""
        await self._again(lambda: self._store.delete(key))

    async def is_empty(self, prefix: str) -> bool:
        """Say whether nothing is in a folder."""
        self._store.fs.invalidate_cache()  # others write here too
        return await self._again(lambda: self._store.is_empty(prefix))

    async def delete_dir(self, prefix: str) -> None:
        """Remove a folder with all that is in it."""
        self._store.fs.invalidate_cache()
        await self._again(lambda: self._store.delete_dir(prefix))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Go through the names in a folder."""
        for name in await self._again(lambda: _all(self._store.list_dir(prefix))):
            yield name

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        attempt, tries = 0, _TRIES if self.read_only else _TRIES_TO_WRITE
        while True:
            try:
                return await ask()
            except Exception as error:
                attempt += 1
                if attempt == tries or not _may_pass(error):
                    if self.read_only or isinstance(error, OSError):
                        raise
                    raise OSError(str(error) or type(error).__name__) from error
            # Not all processes that a busy server has sent away come back at the same time.
            await asyncio.sleep(_PAUSE * 2 ** (attempt - 1) * random.uniform(0.7, 1.3))


async def _all(names: AsyncIterator[str]) -> list[str]:
    return [name async for name in names]


def open_address(address: str, read_only: bool = True) -> Patient:
    """Return the store at an address.

    Parameters
    ----------
    address : str
        That fsspec knows.
    read_only : bool
        Whether nothing is to be written.

    Returns
    -------
    Patient
        Nothing was asked for yet.

    Raises
    ------
    ImportError, ValueError
        If nobody knows how to open such addresses.
    """
    return Patient(FsspecStore.from_url(address, read_only=read_only))


def _may_pass(error: Exception) -> bool:
    """Say whether it may go well another time: the connection was lost, or the server was busy."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status not in _NEVER or status in _LATER
    return type(error).__name__ not in _LACKING and not isinstance(
        error, FileNotFoundError | PermissionError | ValueError | TypeError | KeyError | ImportError | AttributeError
    )
