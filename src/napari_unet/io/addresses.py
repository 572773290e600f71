"""Addresses of images on servers, such as ``https://...`` and ``s3://...``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.request import url2pathname

from ..core.axes import Image
from ..core.errors import ImageError, MissingExtraError, UNetError

__all__ = ["as_address", "as_file", "origin_of", "package_of", "shown", "unreachable"]

_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]+):/+([^/].*)", re.IGNORECASE | re.DOTALL)
_PACKAGES: Final = {
    "http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs",
}  # fmt: skip


def as_address(place: str | os.PathLike[str]) -> str | None:
    """Tell an address from a file name.

    Parameters
    ----------
    place : str or path-like
        A path may be an address, too: it has lost one of two slashes.

    Returns
    -------
    str or None
        None for what lies on this computer; a letter and a colon are a drive.
    """
    found = _ADDRESS.fullmatch(place.as_posix() if isinstance(place, Path) else os.fspath(place))
    local = found is None or found[1].lower() == "file" or Path(place).exists()
    return None if found is None or local else f"{found[1].lower()}://{found[2]}"


def as_file(place: str | os.PathLike[str]) -> Path:
    """Return the path of what lies on this computer.

    Parameters
    ----------
    place : str or path-like
        A path, or ``file://`` and a path.

    Returns
    -------
    Path
        Of the file or folder.
    """
    found = _ADDRESS.fullmatch(os.fspath(place))
    return Path(url2pathname(f"/{found[2]}")) if found and found[1].lower() == "file" else Path(place)


def shown(place: Path) -> str:
    """Return a place as a person writes it: addresses with both slashes."""
    return as_address(place) or str(place)


def origin_of(image: Image) -> str | list[str]:
    """Say what an image was read from, as other processes find it.

    Parameters
    ----------
    image : Image
        Of any kind.

    Returns
    -------
    str or list of str
        A whole path or an address; of an image whose channels are files of their own, one for each. Empty for an image
        in memory.
    """
    if image.files:  # not where links lead: channels are called as these files are
        return [as_address(file) or str(Path(file).absolute()) for file in image.files]
    return image.source and (as_address(image.source) or os.path.realpath(image.source))


def package_of(scheme: str) -> str:
    """Name the package that opens addresses of a kind, such as ``s3``."""
    return _PACKAGES.get(scheme, f"the fsspec package for {scheme}")


def unreachable(address: str, error: Exception) -> UNetError:
    """Say why an address could not be opened.

    Parameters
    ----------
    address : str
        Of :func:`as_address`.
    error : Exception
        What opening it raised.

    Returns
    -------
    UNetError
        To be raised.
    """
    scheme = address.partition(":")[0]
    if isinstance(error, ImportError) and scheme in _PACKAGES:
        return MissingExtraError(_PACKAGES[scheme], "remote", f"Reading from {scheme}://")
    return ImageError(
        f"'{address}' could not be opened as OME-Zarr: {str(error) or type(error).__name__}. Check the address and the "
        "connection, or download it first."
    )
