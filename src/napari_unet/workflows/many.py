"""Segment many images, one after the other: a folder, a plate, or positions of a stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..core.batches import FORMATS, Batch, Found
from ..core.conflict import check_conflict
from ..core.errors import MemoryShortError, OutputError, SpecError, UNetError
from ..core.results import Segmentation, Table
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps, finish, retold
from .beside import Beside
from .files import check_place, read_image, read_labels
from .objects import segment_steps, with_table

__all__ = ["batch", "batch_steps"]

Source = str | Path
_Outcome = tuple[Found, Table]
_OWN: Final = {"kind", "axes", "overwrite", "client", "part", "around", "inside", "within", "into_plate"}


def batch_steps(  # noqa: PLR0913  # the face of the verb
    source: Source | Sequence[Source | Sequence[Source]],
    output: Source,
    spec: SegmentSpec | None = None,
    *,
    kind: str = FORMATS[0],
    axes: str | None = None,
    overwrite: bool = False,
    client: Any = None,
    part: tuple[int, int] | None = None,
    around: str | float = "",
    inside: Any = (),
    within: Any = (),
    into_plate: str = "",
) -> Steps[Batch]:
    """Segment images one after the other; a run that was stopped goes on with those that are left.

    Each image gets the labels that :func:`~napari_unet.workflows.objects.segment` gives it alone: its object width is
    its own, unless one is given.

    Parameters
    ----------
    source : path or sequence of (path or sequence of path)
        Images, or folders of them. A file that holds several images, such as positions of a stage or the wells of a
        plate (OME-NGFF), is so many. Where each channel is a file of its own, the files of an image are a sequence;
        :func:`~napari_unet.workflows.inspection.match_channels` finds them in folders.
    output : path
        Folder of the results: ``labels/``, ``tables/`` (one an image), ``objects.csv`` (all of them) and ``images.csv``
        (how many objects and how wide, or which classes, how long it took, what went wrong). Where labels were
        corrected by hand since, they are kept, and measured again.
    spec : SegmentSpec, optional
        Settings, for all images alike.
    kind : {".ome.zarr", ".tif", ".nii.gz", ".png", ".npy"}
        How the files of labels end.
    axes : str, optional
        Of the images, where they do not say themselves.
    overwrite : bool
        Begin anew where there are results, also with other settings.
    client : distributed.Client or str, optional
        A dask cluster that does it, or the address of its scheduler; labels must be ``.ome.zarr`` then.
    part : (int, int), optional
        Do only this part of the images, from 1, of how many: several computers that share the folders do one each, at
        the same time or not. A call without it then completes what is missing and puts the tables together.
    around : str or float, optional
        Measure the ring around each object, too; see :func:`~napari_unet.workflows.measuring.measure`.
    inside, within : path, list of path, or dict of str to path
        Other objects that are counted in each object, and others of which it is said in which each object lies: folders
        with labels of them, such as the results of another run over the same images. See
        :func:`~napari_unet.io.beside.labels_beside` and :func:`~napari_unet.workflows.measuring.measure`. What is asked
        for may change: labels stay, and are measured again.
    into_plate : str
        A name, under which the labels are written into the images as well (OME-NGFF ``labels/<name>``): all of them are
        OME-Zarr then, such as the fields of a plate, and so are the labels.

    Returns
    -------
    Batch
        What came of each of these images, now or before. An image that cannot be segmented is said to have failed, and
        the others go on.

    Yields
    ------
    Progress
        One an image, and those of the image at hand; the payload is a :class:`~napari_unet.core.batches.Found` where
        one is there.

    Raises
    ------
    UNetError
        If the model or the place for the results cannot be used, or there are no images.
    """
    check_conflict()
    from ..io.addresses import as_address
    from ..io.batches import Results
    from ..io.folders import folder_of, images_of, name_apart
    from ..models.cards import find_model, read_card

    if address := as_address(output):
        raise OutputError(f"'{address}': results of many images go to a folder of this computer. Copy them from there.")
    if into_plate and kind != FORMATS[0]:
        raise SpecError(f"Labels that are written into their images are {FORMATS[0]} beside them, too, not '{kind}'.")
    yield Progress(0, 0, "Looking for images")
    spec, folder = spec or SegmentSpec(), Path(output)
    labels = (folder / "labels").resolve()
    if part is not None and not 1 <= part[0] <= part[1]:
        raise SpecError(f"Part {part[0]} of {part[1]} is none: parts count from 1. Give 1 of 4, for example.")
    images = [files for files in images_of(source) if not files[0].resolve().is_relative_to(labels)]
    names = name_apart([files[0] for files in images], folder_of(source, images))
    models = [read_card(find_model(name)).sha256 for name in spec.models]
    beside = Beside(around, inside, within)
    beside.find(names, folder)
    lasting = spec.model_dump(mode="json", exclude={"model", "tiling", "device"})
    with Results(folder, {**lasting, "model": models, "axes": axes}, kind, overwrite, part) as results:
        places = results.plan([*zip(images, names, strict=True)])
        own = [*zip(images, names, places, strict=True)][(part[0] - 1 if part else 0) :: part[1] if part else 1]
        _check_inside([(files, place) for files, _, place in own], into_plate, overwrite)
        for done, (files, name, place) in enumerate(own):
            yield Progress(done, len(own), name)
            seen = beside.seen(name)
            if not (known := results.has(name, *files)):
                steps = _segmented(files, Found(name), place, (spec, axes, client, beside))
            elif results.is_changed(name, seen):
                steps = _measured(files, results.found([name])[0], place, (spec, axes, beside))
            else:
                _put_inside(files[0], into_plate, place)
                continue
            found, table = yield from retold(steps, partial(_within, name=name, at=(done, len(own))))
            labels_place = "" if found.failed else place.relative_to(folder).as_posix()
            found = replace(found, labels=labels_place, well=found.well if known else _well(files[0]))
            if not found.failed:
                _put_inside(files[0], into_plate, place)
            results.add(found, table, *files, seen=seen)
            yield Progress(done + 1, len(own), name, found, news=_said(found))
        yield Progress(len(own), len(own), "Putting the tables together")
        _consolidate([files[0] for files, *_ in own], into_plate)
        results.join(names)
        return Batch(folder, results.found([name for _, name, _ in own]))


def _check_inside(own: Sequence[tuple[Sequence[Path], Path]], name: str, overwrite: bool) -> None:
    """Refuse labels that cannot be written into their images, before anything is done."""
    from ..io.inner_labels import check_inside

    for files, place in own if name else ():
        check_inside(files[0], name, overwrite, place)


def _put_inside(image: Path, name: str, place: Path) -> None:
    """Write labels into their image; what may not be replaced was refused before."""
    from ..io.inner_labels import put_inside

    if name:
        put_inside(image, name, place, overwrite=True)


def _consolidate(images: Sequence[Path], name: str) -> None:
    from ..io.inner_labels import consolidate_again

    if name:
        consolidate_again(images)


def _within(progress: Progress, name: str, at: tuple[int, int]) -> Progress:
    """Say of an image what is said, counted in images."""
    return Progress(*at, f"{name}: {progress.note}", news=progress.news and f"{name}: {progress.news}")


def _segmented(
    files: Sequence[Path], found: Found, place: Path, how: tuple[SegmentSpec, str | None, Any, Beside]
) -> Steps[_Outcome]:
    """Segment an image and measure what is found; what is wrong with it alone is said of it."""
    start, (spec, axes, client, beside) = time.perf_counter(), how
    try:
        image = read_image(files, axes)
        place.parent.mkdir(parents=True, exist_ok=True)
        check_place(place, image, overwrite=True)
    except UNetError as error:
        return replace(found, failed=str(error)), {}
    except OSError as error:
        raise OutputError(f"'{place}' cannot be written: {error.strerror or error}. Choose another place.") from error
    try:
        made = yield from segment_steps(
            image, spec, None, preview=False, output=place, overwrite=place.exists(), client=client
        )
        table, notes = yield from beside.steps(made.table, made.labels, image, spec, found.image)
    except (OutputError, MemoryShortError):
        raise
    except UNetError as error:
        return replace(found, failed=str(error)), {}
    return _outcome(found, replace(made, table=table), (*image.said, *notes), time.perf_counter() - start)


def _measured(
    files: Sequence[Path], found: Found, place: Path, how: tuple[SegmentSpec, str | None, Beside]
) -> Steps[_Outcome]:
    """Measure labels again that were changed since, such as by hand."""
    from .files import find_manifest

    spec, axes, beside = how
    try:
        image = read_image(files, axes)
        labels, manifest = read_labels(place, like=image), find_manifest(place)
        there = Segmentation(labels, found.objects, found.width, found.seconds, manifest)
        made = yield from with_table(there, image, spec)
        table, notes = yield from beside.steps(made.table, made.labels, image, spec, found.image)
    except (OutputError, MemoryShortError):
        raise
    except UNetError as error:
        return replace(found, failed=f"Its labels were changed and cannot be measured: {error}"), {}
    return _outcome(found, replace(made, table=table), (*image.said, *notes), found.seconds)


def _outcome(found: Found, made: Segmentation, said: Sequence[str], seconds: float) -> _Outcome:
    doubt = str(made.manifest.get("doubt", ""))
    notes = [*said, doubt, made.unseen and f"Not seen: {made.unseen}."]
    told = replace(
        found, objects=0 if made.classes else len(made.table.get("index", ())),
        shares=tuple(made.shares.items()) if made.classes else (), width=made.diameter if made.sized else 0.0,
        seconds=seconds, note=" ".join(filter(None, notes)),
    )  # fmt: skip
    return told, made.table


def _well(file: Path) -> str:
    from ..io.members import well_of

    return well_of(file)


def _said(found: Found) -> str:
    """Say what the user should read of an image."""
    text = f"Not segmented: {found.failed}" if found.failed else found.note
    return text and f"{found.image}: {text}"


def batch(
    source: Source | Sequence[Source | Sequence[Source]],
    output: Source,
    spec: SegmentSpec | None = None,
    *,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Batch:
    """Segment images one after the other; see :func:`batch_steps`.

    Parameters
    ----------
    source, output, spec : Any
        As for :func:`batch_steps`.
    show : callable, optional
        Called with every Progress.
    **options : Any
        ``kind``, ``axes``, ``overwrite``, ``client``, ``part``, ``around``, ``inside``, ``within`` and
        ``into_plate`` of :func:`batch_steps`, and the fields of :class:`~napari_unet.core.specs.SegmentSpec`.

    Returns
    -------
    Batch
        What came of each image.

    Raises
    ------
    UNetError
        See :func:`batch_steps`.
    """
    own = {name: options.pop(name) for name in _OWN & options.keys()}
    spec = SegmentSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(batch_steps(source, output, spec, **own), show)
