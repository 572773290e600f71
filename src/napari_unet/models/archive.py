"""Archives from strangers, unpacked so that they can do nothing but put known kinds of files into one new folder.

Nothing that an archive says of itself is believed: names are checked for every system at once (an archive made to
break out on Windows is refused on Linux too), sizes are counted while they are written, and the new folder appears when
all of it is there and right.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..core.errors import ModelError
from ..io.atomic import atomic_folder
from ..io.zips import ENCRYPTED, directory_size, leads_out

__all__ = ["KINDS", "Limits", "check_hashes", "list_members", "unpack"]

_TEXTS: Final = (".json", ".toml", ".yaml", ".yml", ".md", ".txt", ".cff", ".py")
_WEIGHTS: Final = (".safetensors", ".onnx", ".data", ".pt", ".pth", ".ts", ".torchscript")
_PICTURES: Final = (".npy", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".tif", ".tiff")
# What a model folder or a bioimage.io package may hold. Anything else stays in the archive.
KINDS: Final = frozenset({*_TEXTS, *_WEIGHTS, *_PICTURES})
_CHUNK: Final = 2**20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DIRECTORY: Final = 2**22  # bytes that a table of contents may take
_RESERVED: Final = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to.

    Attributes
    ----------
    files : int
        Most members.
    size : int
        Most bytes, unpacked, all together.
    ratio : float
        Most bytes, unpacked, for each byte of the archive, beyond `free`.
    free : int
        Bytes that are always allowed: a mask may well be all zeros.
    """

    files: int = 256
    size: int = 2**32
    ratio: float = 100.0
    free: int = 2**26

    def room(self, archive: Path) -> int:
        """Return how many bytes an archive may unpack to; overlapping members are counted as often as they come out."""
        return min(self.size, self.free + int(self.ratio * archive.stat().st_size))


def unpack(
    archive: Path, folder: Path, sha256: Mapping[str, str] | None = None, limits: Limits | None = None
) -> dict[str, str]:
    """Unpack a zip archive into a new folder; the folder appears whole or not at all.

    Parameters
    ----------
    archive : Path
        A zip file from anywhere.
    folder : Path
        Must not exist.
    sha256 : mapping of str to str, optional
        Hashes that members must have; a member that is named here must be there.
    limits : Limits, optional
        What it may grow to.

    Returns
    -------
    dict of str to str
        Name and sha256 of every file that was written.

    Raises
    ------
    ModelError
        If it is no zip file, is damaged or encrypted, or holds what no honest archive holds: names that lead out of the
        folder, links, two members of one name, or more than the limits.
    OutputError
        If the folder exists or cannot be written.
    """
    limits = limits or Limits()
    found: dict[str, str] = {}
    with _opened(archive) as opened:
        members = _checked(opened, archive.name, limits)
        with atomic_folder(folder) as part:
            room = limits.room(archive)
            for name, member in members.items():
                if Path(name).suffix.lower() in KINDS:
                    found[name], size = _write(opened, member, part / name, room)
                    room -= size
            check_hashes(found, sha256 or {}, archive.name)
    return found


def list_members(archive: Path, limits: Limits | None = None) -> list[str]:
    """List the files of a zip archive, checked as :func:`unpack` does, without unpacking any.

    Parameters
    ----------
    archive : Path
        A zip file from anywhere.
    limits : Limits, optional
        What it may grow to.

    Returns
    -------
    list of str
        Names of all files.

    Raises
    ------
    ModelError
        As :func:`unpack`.
    """
    with _opened(archive) as opened:
        return list(_checked(opened, archive.name, limits or Limits()))


def check_hashes(found: Mapping[str, str], wanted: Mapping[str, str], where: str) -> None:
    """Compare the hashes of files with those that a package names.

    Parameters
    ----------
    found, wanted : mapping of str to str
        Name and sha256 of files.
    where : str
        What the package is called, for the message.

    Raises
    ------
    ModelError
        If a file is missing or is another one.
    """
    for name, digest in wanted.items():
        if found.get(name) != digest.lower():
            what = "is not the file that the package names (its sha256 differs)" if name in found else "is missing"
            raise ModelError(f"'{name}' in '{where}' {what}. It was changed or damaged on its way; get it again.")


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and say in words why it cannot be read."""
    _check_end(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise ModelError(f"'{archive.name}' is damaged: {error}. Get it again.") from error


def _check_end(archive: Path) -> None:
    """Refuse what is no zip file, and tables of contents that would fill the memory when they are read."""
    if not archive.is_file() or not zipfile.is_zipfile(archive):
        raise ModelError(f"'{archive}' is no zip archive. Models travel as .zip files, folders, .onnx or .pt files.")
    size = directory_size(archive)
    if size is None or size > _DIRECTORY:
        raise ModelError(f"'{archive.name}' has too large a table of contents to be a model. It is not opened.")


def _checked(opened: zipfile.ZipFile, archive: str, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by name, or refuse all of it for one bad member."""
    members = opened.infolist()
    if len(members) > limits.files:
        raise ModelError(f"'{archive}' has {len(members)} members, more than the {limits.files} that a model may have.")
    if sum(member.file_size for member in members) > limits.size:
        raise ModelError(f"'{archive}' would unpack to more than {limits.size / 2**30:.1f} GiB. It is not opened.")
    files: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for member in members:
        # The name as it is stored: zipfile cuts it at a zero byte and turns the system's separators.
        if trouble := _trouble(member, member.orig_filename):
            raise ModelError(f"'{archive}' holds '{member.orig_filename[:80]}', {trouble}. Nothing was unpacked.")
        # On Windows and macOS these would be one file.
        key = member.filename.rstrip("/").casefold()
        if key in seen:
            raise ModelError(f"'{archive}' holds '{member.filename}' twice. Nothing was unpacked; ask for a sound one.")
        seen.add(key)
        if not member.is_dir():
            files[member.filename] = member
    parents = {str(parent).casefold() for name in files for parent in list(Path(name).parents)[:-1]}
    if clash := parents & {name.casefold() for name in files}:
        raise ModelError(f"'{archive}' holds '{clash.pop()}' as a file and as a folder. Nothing was unpacked.")
    return files


def _trouble(member: zipfile.ZipInfo, name: str) -> str:
    """Say what is wrong with a member, or return nothing."""
    parts = (name[:-1] if name.endswith("/") else name).split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.flag_bits & ENCRYPTED:
        return "which is encrypted: unpack it with its password first, then add the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device, which a model has no use for"
    if member.compress_type not in _METHODS:
        return "compressed in a way that is not read here: pack it as an ordinary zip"
    if leads_out(name):
        return "a name that leads out of the folder"
    if _FORBIDDEN.search(name) or any(_RESERVED.match(part) or part[-1] in ". " for part in parts):
        return "a name that means something else on some systems"
    return ""


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path, room: int) -> tuple[str, int]:
    """Write a member and return its hash and size; bytes are counted as they come out."""
    digest, size = hashlib.sha256(), 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as out, opened.open(member) as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise ModelError(f"'{member.filename}' unpacks to far more than an honest file. Nothing was unpacked.")
            digest.update(chunk)
            out.write(chunk)
    if size != member.file_size:
        raise ModelError(f"'{member.filename}' is not as long as its archive says. It is damaged; get it again.")
    return digest.hexdigest(), size
