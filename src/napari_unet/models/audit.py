"""A finished segmentation is done again, cut in another way, and compared with its labels, object by object."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.audit import Audit
from ..core.axes import Image
from ..core.errors import ImageError, ModelError, OutputError
from ..core.hashes import label_hash
from ..core.specs import SegmentSpec, TilingSpec
from ..core.steps import Progress, Steps
from ..io.journal import Journal
from ..tiling.bricked import segment_bricks
from ..tiling.care import told
from ..tiling.chunks import cached
from ..tiling.compare import Comparing, windows
from ..tiling.grid import Grid, per_axis
from ..tiling.stream import Plan
from ..tiling.unreadable import mended
from ._bricks import Work, can_store, prepare
from ._scorer import Scorer
from .average import gather
from .segment import careful, record, segment_image

__all__ = ["audit_segmentation"]

_NEEDED: Final = {"settings", "image", "model", "sha256", "statistics", "diameter", "labels_hash"}
_SHARE: Final = 0.7  # of the edge of a tile then, that it has now: borders meet in few places
_SAME: Final = ("program", "device", "runtime", "precision")
_NOTES: Final = "{}: {} then, {} now. Labels may differ for that reason alone."


def audit_segmentation(
    labels: Image, manifest: Mapping[str, Any], image: Image, spec: SegmentSpec, scratch: Path | None = None
) -> Steps[Audit]:
    """Do a segmentation again with other tiles, and compare.

    Parameters
    ----------
    labels : Image
        What came out; axes in any order.
    manifest : mapping
        How it was made.
    image : Image
        Of which.
    spec : SegmentSpec
        Settings of the run; its tiling is left aside, but for the number of workers.
    scratch : Path, optional
        A folder with room for what is needed while it runs; by default that of the system.

    Returns
    -------
    Audit
        Every object that differs.

    Yields
    ------
    Progress
        One for every tile and every part that is compared.

    Raises
    ------
    ImageError
        If it is another image, or the labels do not fit it.
    ModelError
        If it is another model.
    OutputError
        If the labels do not say how they were made, or there is no room.
    """
    _check_told(labels, manifest)
    yield Progress(0, 0, "Loading the model")
    image = mended(cached(_as_told(image, manifest["image"])), spec)
    model = gather(spec, image)
    now, labels = record(image, spec, model), _aligned(labels, image)
    _check_same(manifest, now, labels, image)
    spec = spec.model_copy(update={"tiling": _tiling(manifest, spec.tiling)})
    comparing = Comparing(labels, labels.read)
    if can_store(spec, model):
        with tempfile.TemporaryDirectory(prefix="napari-unet-audit-", dir=scratch) as folder:
            found, cut = yield from _again(image, spec, model, manifest, Journal(Path(folder)), comparing)
    else:
        found, cut = yield from _again_at_once(image, spec, model, comparing)
    facts, table = comparing.pairs.finish()
    notes = _notes(manifest, now, bool(table["label"].size or facts["renumbered"]), found)
    return Audit(
        objects=int(facts["objects"]), found=int(facts["found"]), pixels=int(np.prod(labels.shape)),
        pixels_differing=int(facts["pixels_differing"]), table=table, renumbered=bool(facts["renumbered"]),
        hash=found, cut=cut, notes=tuple(notes),
    )  # fmt: skip


def _notes(then: Mapping[str, Any], now: Mapping[str, Any], differ: bool, found: str) -> list[str]:
    """Say why labels differ or may differ."""
    known = "The labels were changed since they were written: done again, they are as their record says."
    notes = [known] if differ and found == then["labels_hash"] else []
    others = (name for name in _SAME if then.get(name) != now.get(name))
    return notes + [_NOTES.format(name.capitalize(), then.get(name), now.get(name)) for name in others]


def _check_told(labels: Image, manifest: Mapping[str, Any]) -> None:
    if missing := _NEEDED - set(manifest):
        raise OutputError(
            f"'{labels.name}' does not say how it was made ({', '.join(sorted(missing))}). Give labels that this "
            "program wrote as OME-Zarr or TIFF."
        )


def _aligned(labels: Image, image: Image) -> Image:
    """Give labels the axes of length 1 that their file left out."""
    alone = [a for a in image.label_axes if a not in labels.axes and image.along(a)[0] == (1,)]
    for axis in alone:
        labels = Image(np.asarray(labels.data)[None], axis + labels.axes, name=labels.name)
    return labels


def _as_told(image: Image, then: Mapping[str, Any]) -> Image:
    """Give pixels the size that they had in the run: that of a layer may have been another than its file's."""
    fits = "scale" in then and then["axes"] == image.axes
    return replace(image, scale=tuple(then["scale"]), units=tuple(then["units"])) if fits else image


def _check_same(manifest: Mapping[str, Any], now: Mapping[str, Any], labels: Image, image: Image) -> None:
    if manifest["sha256"] != now["sha256"]:
        raise ModelError(
            f"The labels were made with the model '{manifest['model']}' of the sha256 {manifest['sha256'][:12]}, but "
            f"'{now['model']}' has {now['sha256'][:12]}. Give the folder of the model as it was: --model."
        )
    then = {key: value for key, value in manifest["image"].items() if key not in ("name", "start")}
    if other := [key for key, value in then.items() if now["image"].get(key) != value]:
        raise ImageError(
            f"'{image.name}' is not the image of these labels, or was changed since ({', '.join(other)}). "
            f"They were made of '{manifest['image'].get('name')}'."
        )
    if sorted(labels.axes) != sorted(image.label_axes) or labels.along(image.label_axes)[0] != _shape(image):
        raise ImageError(
            f"The labels have the axes {labels.axes} and the shape {labels.shape}, but '{image.name}' has {image.axes} "
            f"and {image.shape}. Give the image they were made of."
        )


def _shape(image: Image) -> tuple[int, ...]:
    return image.along(image.label_axes)[0]


def _tiling(manifest: Mapping[str, Any], wanted: TilingSpec) -> TilingSpec:
    return wanted.model_copy(update={"batch": int(manifest["settings"]["tiling"]["batch"]) + 1})


def _again(
    image: Image, spec: SegmentSpec, model: Scorer, manifest: Mapping[str, Any], journal: Journal, sink: Comparing
) -> Steps[tuple[str, dict[str, Any]]]:
    """Run brick by brick, and compare what would be written."""
    begun = {"statistics": manifest["statistics"], "diameter": manifest["diameter"], "tile": [1]}
    work = prepare(image, spec, model, begun, careful(spec, model))
    work, cut = _shifted(work, image, manifest)
    with journal:
        _, found = yield from told(segment_bricks(image, work.jobs(journal, sink)), work.plan.care)
    return found, cut


def _shifted(work: Work, image: Image, manifest: Mapping[str, Any]) -> tuple[Work, dict[str, Any]]:
    """Cut in another way than the run did."""
    plan, shape, planes = work.plan, *_planes(image, work.plan.ndim)
    then = SegmentSpec.of(**manifest["settings"]).tiling
    before = replace(plan, edges=None, tiling=then).grid(shape, planes)
    edges = _edges(before.edges, [cuts[-1].write.stop for cuts in before.cuts], plan)
    after = replace(plan, edges=edges).grid(shape, planes)
    cut = {
        "tiles": len(after) * planes, "tiles_then": len(before) * planes, "edges": _written(after),
        "edges_then": _written(before), "batch": plan.tiling.batch, "batch_then": then.batch,
    }  # fmt: skip
    return replace(work, plan=replace(plan, edges=edges)), cut


def _written(grid: Grid) -> list[int]:
    """Return how much of the image the first tile writes along each axis."""
    return [cuts[0].write.size for cuts in grid.cuts]


def _planes(image: Image, ndim: int) -> tuple[tuple[int, ...], int]:
    planes = image.planes(ndim)
    return planes[0].shape, len(planes)


def _edges(then: tuple[int, ...], pixels: list[int], plan: Plan) -> tuple[int, ...]:
    """Choose edges of tiles so that borders lie elsewhere."""
    steps = per_axis(plan.multiple, plan.ndim)
    lengths = [max(1, round(n * factor)) for n, factor in zip(pixels, plan.factor, strict=True)]
    axes = zip(then, lengths, steps, strict=True)
    return tuple(max(1, int(_SHARE * min(edge, n)) // step) * step for edge, n, step in axes)


def _again_at_once(
    image: Image, spec: SegmentSpec, model: Scorer, sink: Comparing
) -> Steps[tuple[str, dict[str, Any]]]:
    """Run in memory, for objects that need the whole plane, and compare."""
    tile = max(model.multiple) if isinstance(model.multiple, tuple) else model.multiple
    edge = max(tile, int(_SHARE * (spec.tiling.tile or min(_shape(image)[-2:]))) // tile * tile)
    spec = spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"tile": edge})})
    found = yield from segment_image(image, spec, model, preview=False)
    axes = sink.pairs.axes
    values = found.labels.data.transpose([found.labels.axes.index(a) for a in axes])
    for window in windows(axes, values.shape):
        sink.compare(window, values[window])
    cut = {"edges": [edge], "batch": spec.tiling.batch}
    return label_hash(values), cut
