"""Runs in a process of their own, which goes on when whoever has started it is closed, and can be found again."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import ClusterError, ImageError, OutputError, UNetError
from ..core.processes import again
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps
from ..core.workers import Workers
from .clusters import on_cluster_steps
from .large import keep_runs_in
from .objects import measured_steps, segment_steps

if TYPE_CHECKING:
    from ..core.axes import Image
    from ..core.results import Segmentation
    from ..io.driven import Driven

__all__ = ["drive_run", "follow_run_steps", "list_runs", "start_run"]

_BEAT: Final = 0.25  # seconds between looks
_GRACE: Final = 5.0  # seconds that a run has to end by itself when it was told to stop
_children: list[subprocess.Popen[bytes]] = []  # that are not waited for


def start_run(
    image: Image, spec: SegmentSpec, output: str | Path, overwrite: bool = False, cluster: tuple[str, int] = ("", 0)
) -> Driven:
    """Start a segmentation in a process of its own, which outlives this one.

    Parameters
    ----------
    image : Image
        From a file or an address.
    spec : SegmentSpec
        Settings.
    output : path
        OME-Zarr: a folder or an address.
    overwrite : bool
        Replace other labels that are there.
    cluster : tuple of (str, int)
        Address of a scheduler and number of local workers, see :func:`~napari_unet.workflows.open_cluster`.

    Returns
    -------
    Driven
        The run; :func:`follow_run_steps` says how far it is.

    Raises
    ------
    ImageError
        If the image is in memory.
    OutputError
        If such a run is going on already, or its folder cannot be made.
    """
    from ..io.addresses import as_address
    from ..io.choosing import work_folder
    from ..io.driven import find_driven, new_driven
    from ..models.errand import source_of
    from ..tiling.fingerprint import fingerprint

    told = source_of(image, spec)
    if not told["source"]:
        raise ImageError(f"'{image.name}' is in memory, where another process cannot see it. Save it to a file first.")
    place = as_address(Path(output)) or os.path.realpath(output)
    end = time.monotonic() + 3 * _GRACE
    while (busy := find_driven(place)) is not None and busy.unwanted and time.monotonic() < end:
        time.sleep(_BEAT)  # it was told to stop, and is about to
    if busy is not None:
        raise OutputError(f"A run is writing '{place}' right now. Reattach to it, or cancel it first.")
    where = {"output": place, "overwrite": overwrite, "work": str(work_folder()), "cluster": list(cluster)}
    run = new_driven(told | where | {"image": fingerprint(image)})
    how = again(["drive", str(run.folder)], outlives=True)
    with run.log.open("wb") as log:
        child = subprocess.Popen(**how, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    _children[:] = [*(each for each in _children if each.poll() is None), child]
    return run


def list_runs() -> list[Driven]:
    """List runs in processes of their own, the latest first; see :class:`napari_unet.io.driven.Driven`."""
    from ..io.driven import list_driven

    return list_driven()


def follow_run_steps(
    run: Driven, image: Image | None = None, note: Callable[[Workers], None] | None = None
) -> Steps[Segmentation]:
    """Look on while a run goes on in its process. Whoever looks on may leave: the run does not notice.

    Parameters
    ----------
    run : Driven
        From :func:`start_run` or :func:`list_runs`.
    image : Image, optional
        That of the run, where it is open already.
    note : callable, optional
        Gets who is at work, as often as that is known.

    Returns
    -------
    Segmentation
        Labels, not loaded, and the measurements of their task.

    Yields
    ------
    Progress
        What the process says; the payload is a piece of the labels or None.

    Raises
    ------
    ClusterError
        If the run ended without a result; with what it said.
    """
    from ..io.driven import Pieces
    from ..models.errand import open_source

    order = run.order
    yield Progress(0, 0, "Starting")
    if image is None:
        image = open_source({key: value for key, value in order.items() if key != "image"})  # which is over, perhaps
    pieces = Pieces(run, image.label_axes, image.along(image.label_axes)[0])
    heard, going_on = 0, True
    while going_on:
        going_on = run.state == "running"  # asked first: what it said last is read after it
        said = run.progress
        for piece in pieces.news():
            yield _told(said, piece)
        if note is not None and said.get("workers"):
            note(Workers(**said["workers"]))
        news = said.get("news", [])[heard:]
        heard += len(news)
        yield _told(said, None, "\n".join(news))
        if going_on:
            time.sleep(_BEAT)
    if run.state != "finished":
        raise ClusterError(_obituary(run))
    yield Progress(1, 1, "Opening the labels")
    found = yield from measured_steps(Path(order["output"]), image, SegmentSpec.of(**order["spec"]))
    return replace(found, seconds=run.end.get("seconds", 0.0))


def _told(said: dict[str, Any], piece: Any, news: str = "") -> Progress:
    done, total, note = said.get("done", 0), said.get("total", 0), said.get("note", "Starting")
    return Progress(done, total, note, piece, news, then="measuring")


def _obituary(run: Driven) -> str:
    end = run.end
    if end.get("state") == "stopped":
        return "The run was stopped. What is done already stays: Run goes on where it was."
    if end.get("text"):
        return str(end["text"])
    words = f" It said last: {run.last_words}" if run.last_words else ""
    return (
        "The process of the run ended without a word, perhaps because memory was short or the computer was switched "
        f"off.{words} What is done already stays: Run goes on where it was."
    )


def drive_run(folder: str | Path) -> None:
    """Do a run that :func:`start_run` has written down; what the process is for.

    Parameters
    ----------
    folder : path
        Of the run.

    Raises
    ------
    UNetError
        As the run says; it is written down too.
    """
    from ..io.driven import Driven

    run = Driven(Path(folder))
    if not run.order:
        raise OutputError(f"'{folder}' is no run. Start one from the viewer.")
    start = time.monotonic()
    with run.living():
        threading.Thread(target=_watch, args=(run,), daemon=True).start()
        try:
            state = _drive(run)
        except UNetError as error:
            run.over("failed", str(error))
            raise
        except Exception as error:
            run.over("failed", f"{type(error).__name__}: {error}")
            raise
        run.over(state, seconds=time.monotonic() - start)


def _watch(run: Driven) -> None:
    """End the process if it was told to stop and does not hear: nothing that is done is lost."""
    while not run.unwanted:
        time.sleep(_BEAT)
    time.sleep(_GRACE)
    run.over("stopped")
    os._exit(1)


def _drive(run: Driven) -> str:
    from ..io.driven import Pieces
    from ..models.errand import open_source

    order = run.order
    keep_runs_in(order["work"])
    image, spec = open_source(order), SegmentSpec.of(**order["spec"])
    pieces = Pieces(run, image.label_axes, image.along(image.label_axes)[0])
    pieces.forget()
    saying = _Saying(run)

    def make(client: Any = None) -> Steps[Segmentation]:
        output, overwrite = Path(order["output"]), order["overwrite"]
        return segment_steps(image, spec, (), preview=True, output=output, overwrite=overwrite, client=client)

    scheduler, local = order["cluster"]
    steps = on_cluster_steps(make, scheduler, local, saying.note) if scheduler or local else make()
    try:
        for progress in steps:
            if progress.payload is not None:
                pieces.add(progress.payload)
            saying(progress)
            if run.unwanted:
                return "stopped"
    finally:
        steps.close()
    return "finished"


class _Saying:
    """Writes down how far a run is, a few times a second."""

    def __init__(self, run: Driven) -> None:
        self._run, self._next = run, 0.0
        self._news: list[str] = []
        self._workers: dict[str, Any] = {}

    def note(self, workers: Workers) -> None:
        self._workers = vars(workers)

    def __call__(self, progress: Progress) -> None:
        if progress.news:
            self._news.append(progress.news)
        if progress.news or time.monotonic() >= self._next:
            self._next = time.monotonic() + _BEAT
            with suppress(OutputError):  # somebody reads it right now; the next one will do
                self._run.note(
                    done=progress.done, total=progress.total, note=progress.note, news=self._news, workers=self._workers
                )
