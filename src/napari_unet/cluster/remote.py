"""What is called on workers, by name. Each process loads a run's image and model once, when it is first asked."""

from __future__ import annotations

import errno
import os
import platform
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import ClusterError
from ..models._bricks import begin
from ..models.average import gather
from ..models.errand import Errand
from ..tiling.chunks import cached
from ..tiling.unreadable import mended
from ..tiling.where import Notes
from .bench import Bench
from .told import Told, check_models, tell

if TYPE_CHECKING:
    from .chores import Chore

__all__ = ["PACKAGES", "describe", "do_all", "forget", "full", "know", "leave", "measure", "see", "versions"]

PACKAGES: Final = ("napari-unet-suite", "dask", "distributed", "torch", "numpy", "zarr")
_HELLO: Final = 2**16  # bytes of a file that tries a disk: a quota does not count empty ones
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class _Kept:
    """A run that this process knows of."""

    errand: Errand | Chore
    bench: Any = None


_kept: dict[str, _Kept] = {}
_lock = threading.Lock()


def know(errand: Errand | Chore) -> None:
    """Take in what a run is; nothing is loaded yet."""
    with _lock:
        _kept.setdefault(errand.name, _Kept(errand))


def forget(name: str) -> None:
    """Let go of all that belongs to a run."""
    with _lock:
        _kept.pop(name, None)


def do_all(name: str, verb: str, jobs: Sequence[tuple[Any, ...]]) -> tuple[float, list[Any] | None]:
    """Do some jobs of a run, one after the other.

    Parameters
    ----------
    name : str
        Of the run, see :func:`know`.
    verb : str
        Method of its bench, such as :class:`~napari_unet.cluster.bench.Bench`.
    jobs : sequence of tuple
        What it is called with.

    Returns
    -------
    seconds : float
        That it took, all together.
    answers : list or None
        Small; None where none has anything to tell.

    Raises
    ------
    ClusterError
        If nobody has told this process of the run.
    UNetError
        As the job says.
    """
    with _lock:
        kept = _kept.get(name)
        if kept is None:
            raise ClusterError("A worker was not told of this run. Give the same command again: it goes on.")
        if kept.bench is None:
            kept.bench = Bench(kept.errand) if isinstance(kept.errand, Errand) else kept.errand.bench()
    begun, call = time.monotonic(), getattr(kept.bench, verb)
    answers = [_told(verb, call(*words)) for words in jobs]
    return time.monotonic() - begun, None if all(answer is None for answer in answers) else answers


def _told(verb: str, answer: Any) -> Any:
    """Leave out what need not be sent."""
    if verb == "explore" or (verb == "score" and answer == ([Notes()] * len(answer[0]), {})):
        return None  # trees are in the journal
    return answer


def versions() -> dict[str, str]:
    """Return the versions of what labels may depend on, and of what processes speak to each other with."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def see(folder: str, name: str) -> str:
    """Read a file in a folder, and leave one beside it.

    Parameters
    ----------
    folder : str
        Where the labels are to be.
    name : str
        Of the file.

    Returns
    -------
    str
        The name of the file that was left.

    Raises
    ------
    ClusterError
        If the one cannot be read or the other not be written.
    """
    place, answer = Path(folder), f"{name}.{uuid.uuid4().hex[:8]}"
    try:
        (place / name).read_bytes()
        leave(place / answer)
    except OSError as error:
        if words := full(folder, error):
            raise ClusterError(words) from error
        raise ClusterError(
            f"the folder '{folder}' is not the one of this program, or cannot be written "
            f"({error.strerror or error}). Labels and journal must lie on a disk that all workers share under the same "
            "name."
        ) from error
    return answer


def leave(file: Path) -> None:
    """Write a small file, down to the disk.

    Parameters
    ----------
    file : Path
        Its folder is there.

    Raises
    ------
    OSError
        If it cannot be written. Nothing is left behind.
    """
    try:
        with file.open("wb") as stream:
            stream.write(os.urandom(_HELLO))
            stream.flush()
            os.fsync(stream.fileno())  # network disks say only then that they are full
    except OSError:
        file.unlink(missing_ok=True)
        raise


def full(folder: str, error: OSError) -> str:
    """Say that a disk is full, or a quota of it used up; empty if it is another error.

    Parameters
    ----------
    folder : str
        That was written to.
    error : OSError
        What the system said.

    Returns
    -------
    str
        A sentence without its beginning.
    """
    if error.errno not in _FULL:
        return ""
    return (
        f"the disk of '{folder}' is full, or your quota of it is used up ({error.strerror}). Free space, or choose "
        "another folder."
    )


def describe(errand: Errand) -> Told:
    """Load model and image of a run, and say what the model is.

    Parameters
    ----------
    errand : Errand
        The run.

    Returns
    -------
    Told
        Small.

    Raises
    ------
    ClusterError, ImageError, ModelError
        If they are not here, or others.
    """
    image = errand.open_image()
    check_models(errand.settings.models)
    return tell(gather(errand.settings, image))


def measure(errand: Errand, workers: int) -> dict[str, Any]:
    """Measure what is measured once for an image, and choose how the work is cut.

    Parameters
    ----------
    errand : Errand
        The run.
    workers : int
        How many threads all processes have together.

    Returns
    -------
    dict
        See :func:`napari_unet.models._bricks.begin`.
    """
    spec = errand.settings
    spread = spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"workers": workers})})
    image = mended(cached(errand.open_image()), spec)
    return begin(image, spread, gather(spec, image))


def process() -> tuple[str, int]:
    """Return the name of this computer and the number of this process."""
    return platform.node(), os.getpid()
