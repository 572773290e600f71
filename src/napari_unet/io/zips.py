"""Tables of contents of zip archives from strangers, looked at before they are read."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Final

__all__ = ["ENCRYPTED", "directory_size", "leads_out"]

ENCRYPTED: Final = 0x1  # a flag of members
_END: Final = struct.Struct("<4s4H2LH")  # the record at the end of a zip file


def directory_size(archive: Path) -> int | None:
    """Return how many bytes the table of contents of a zip archive says that it takes.

    Parameters
    ----------
    archive : Path
        Any file.

    Returns
    -------
    int or None
        None if it is no zip archive.
    """
    if not archive.is_file() or not zipfile.is_zipfile(archive):
        return None
    size = archive.stat().st_size
    with archive.open("rb") as file:
        file.seek(max(0, size - _END.size - 2**16))
        tail = file.read()
    # As zipfile looks for it: at the very end, else the last one before a comment.
    at = len(tail) - _END.size
    at = at if tail[at : at + 4] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\5\6", 0, at + 4)
    return None if at < 0 else int(_END.unpack_from(tail, at)[5])


def leads_out(name: str) -> bool:
    """Say whether the name of a member is a path that leads out of its archive, or none that a file can have."""
    parts = (name[:-1] if name.endswith("/") else name).split("/")
    return name.startswith("/") or ".." in parts or "" in parts or "." in parts
