"""Follow objects through time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.axes import Image, as_image
from ..core.conflict import check_conflict
from ..core.errors import ImageError
from ..core.lengths import in_one_unit, scaled_like
from ..core.linking import LinkSpec
from ..core.motion import Motion
from ..core.results import Annotation, TrackFile, Tracks, TrackScores
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps, finish, followed
from .clusters import on_workers
from .files import open_image, open_labels

__all__ = [
    "check_tracks_place", "follow_ids_steps", "has_tracks", "read_annotations", "read_tracks", "relabel",
    "relabel_steps", "score_annotations_steps", "score_tracks", "score_tracks_steps", "track", "track_steps",
    "write_tracks",
]  # fmt: skip


def track_steps(
    labels: Any, spec: LinkSpec | None = None, image: Any = None, model: str = "", client: Any = None
) -> Steps[Tracks]:
    """Follow labels through time, step by step.

    Parameters
    ----------
    labels : Image, array-like or path
        Arrays start with t; see :func:`napari_unet.tracking.lap.link`. Lengths are counted in the unit of x.
    spec : LinkSpec, optional
        Settings.
    image : Image, array-like or path, optional
        What was segmented, on the same grid: how bright objects are helps to tell them apart and to see divisions. The
        size of its pixels and the time between its frames hold for labels that do not say theirs.
    model : str
        Name or folder of a model that foretells motion (trained with the task ``motion``); needs the image.
    client : distributed.Client or str, optional
        A dask cluster whose workers read the frames and foretell motion, or the address of its scheduler. Labels and
        image are files that all workers see. The tracks are the same.

    Returns
    -------
    Tracks
        Who is who.

    Yields
    ------
    Progress
        One for every frame that is read and every frame that is linked.

    Raises
    ------
    AxesError, ImageError, SpecError
        If these are no labels with time, or the settings do not fit them.
    ModelError
        If the model is unknown or foretells no motion.
    ClusterError
        If workers cannot do it.
    """
    check_conflict()
    from ..tracking._depth import warn_of_depth
    from ..tracking._sense import warn_of_labels
    from ..tracking.lap import link

    named = isinstance(image, str | os.PathLike)
    picture, seen = None if image is None else open_image(image) if named else movie(image), movie(labels)
    seen = in_one_unit(seen if picture is None else scaled_like(seen, picture))
    if client is not None:
        network = SegmentSpec(model=_named(model, picture)) if model else None
        tracks: Tracks = yield from on_workers(client, "track_on_steps", seen, spec or LinkSpec(), picture, network)
    else:
        motion = (yield from followed(_foretold(seen, picture, model), "linking")) if model else None
        tracks = yield from link(seen, spec or LinkSpec(), picture, motion)
    if news := warn_of_labels(seen, tracks) or warn_of_depth(tracks):
        yield Progress(1, 1, "Linked", news=news)
    return tracks


def _named(model: str, image: Image | None) -> str:
    """Name a model in a way that other processes understand."""
    if image is None:
        raise ImageError("A model foretells motion from the image that was segmented: give it too.")
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _foretold(labels: Image, image: Image | None, model: str) -> Steps[Motion]:
    from ..models.motion import foretell
    from ..models.zoo import load_model

    if image is None:
        raise ImageError("A model foretells motion from the image that was segmented: give it too.")
    yield Progress(0, 0, f"Loading the model '{model}'")
    return (yield from foretell(labels, image, SegmentSpec(model=model), load_model(model)))


def track(
    labels: Any,
    spec: LinkSpec | None = None,
    show: Callable[[Progress], None] | None = None,
    *,
    image: Any = None,
    model: str = "",
    client: Any = None,
    **options: Any,
) -> Tracks:
    """Follow labels through time; see :func:`track_steps`. Options are the fields of LinkSpec."""
    settings = LinkSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(track_steps(labels, settings, image, model, client), show)


def relabel_steps(labels: Any, tracks: Tracks, by: str = "track", fill_gaps: bool = False) -> Steps[Image]:
    """Give objects the number of their track or lineage, step by step; see :func:`relabel`."""
    yield Progress(0, 1, "Numbering")
    return relabel(labels, tracks, by, fill_gaps)


def relabel(labels: Any, tracks: Tracks, by: str = "track", fill_gaps: bool = False) -> Image:
    """Give objects the number of their track or lineage, in a new array that is computed where it is looked at.

    Parameters
    ----------
    labels : Image or array-like
        What was tracked; stays as it is.
    tracks : Tracks
        Its tracks.
    by : {"track", "lineage"}
        Which number.
    fill_gaps : bool
        Where a track skips frames, draw masks between the last one before and the first one after.

    Returns
    -------
    Image
        int32, a dask array of one frame a chunk.
    """
    from ..tracking.relabel import relabel as number

    return number(movie(labels), tracks, by, fill_gaps)


def follow_ids_steps(labels: Any) -> Steps[Tracks]:
    """Take the numbers of objects for those of tracks; see :func:`napari_unet.tracking.ids.follow_ids`."""
    from ..tracking.ids import follow_ids

    return (yield from follow_ids(movie(labels)))


def score_tracks_steps(
    tracks: Tracks, labels: Any, truth_tracks: Tracks | None, truth_labels: Any, annotations: Sequence[Annotation] = ()
) -> Steps[TrackScores]:
    """Compare tracks with the truth, step by step.

    Parameters
    ----------
    tracks : Tracks
        To be judged.
    labels : Image or array-like
        The masks that they link.
    truth_tracks : Tracks or None
        None: every number of `truth_labels` is a track, and there are no divisions.
    truth_labels : Image or array-like
        The true masks.
    annotations : sequence of Annotation
        True masks of some frames by which SEG is judged, where the true tracks have markers only.

    Returns
    -------
    TrackScores
        See :func:`napari_unet.metrics._track_scores.score_tracks`.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    AxesError, ImageError
        If the movies do not have the same shape, or hold no labels.
    """
    from ..metrics._track_scores import score_tracks as judge

    truth = movie(truth_labels)
    true = (yield from follow_ids_steps(truth)) if truth_tracks is None else truth_tracks
    return (yield from judge((tracks, movie(labels)), (true, truth), annotations))


def score_tracks(
    tracks: Tracks, labels: Any, truth_tracks: Tracks | None, truth_labels: Any, annotations: Sequence[Annotation] = ()
) -> TrackScores:
    """Compare tracks with the truth; see :func:`score_tracks_steps`."""
    return finish(score_tracks_steps(tracks, labels, truth_tracks, truth_labels, annotations))


def score_annotations_steps(labels: Any, annotations: Sequence[Annotation]) -> Steps[float]:
    """Score masks by those that are annotated; see :func:`napari_unet.metrics._annotated.score_annotations`."""
    from ..metrics._annotated import score_annotations as judge

    return (yield from judge(movie(labels), annotations))


def read_tracks(path: str | Path) -> TrackFile:
    """Read tracks; see :func:`napari_unet.io.tracks.read_tracks`."""
    from ..io.tracks import read_tracks as read

    return read(path)


def has_tracks(path: str | Path) -> bool:
    """Say whether a folder is one of the Cell Tracking Challenge with a text of tracks."""
    from ..io._ctc import is_challenge

    return is_challenge(Path(path))


def read_annotations(path: str | Path) -> tuple[Annotation, ...]:
    """Read the true masks of a folder; see :func:`napari_unet.io._ctc.read_annotations`."""
    from ..io._ctc import read_annotations as read

    return read(Path(path))


def check_tracks_place(path: str | Path, labels: Image | None = None, overwrite: bool = False) -> None:
    """Check that tracks can be written; see :func:`napari_unet.io.tracks.check_tracks_place`."""
    from ..io.tracks import check_tracks_place as check

    check(path, labels, overwrite)


def write_tracks(path: str | Path, tracks: Tracks, labels: Any = None, overwrite: bool = False) -> None:
    """Write tracks; see :func:`napari_unet.io.tracks.write_tracks`."""
    from ..io.tracks import write_tracks as write

    write(path, tracks, None if labels is None else movie(labels), overwrite)


def movie(data: Any) -> Image:
    """Wrap an array whose first axis is time, or read labels."""
    if isinstance(data, str | os.PathLike):
        return open_labels(data)
    return as_image(data, {3: "tyx", 4: "tzyx"}.get(getattr(data, "ndim", 0)))
