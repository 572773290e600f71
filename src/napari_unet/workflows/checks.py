"""What a run will take, and whether what came out can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.audit import Audit
from ..core.conflict import check_conflict
from ..core.errors import ModelError
from ..core.preflight import Preflight
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps, finish
from .files import open_image, read_labels

__all__ = ["audit", "audit_steps", "preflight", "preflight_steps"]


def preflight_steps(image: Any, spec: SegmentSpec | None = None, output: str | Path | None = None) -> Steps[Preflight]:
    """Estimate what a segmentation will take, from a few tiles that are computed.

    Parameters
    ----------
    image : Image, array-like, path or sequence of path
        As for :func:`~napari_unet.workflows.segment_steps`.
    spec : SegmentSpec, optional
        Settings.
    output : path, optional
        Where the labels are to go; what an unfinished run there has done is not counted.

    Returns
    -------
    Preflight
        Time, memory, and room on the disk; its ``line`` says all in one line.

    Yields
    ------
    Progress
        While it measures and computes.

    Raises
    ------
    AxesError, ImageError, ModelError, SpecError
        If the image or a setting cannot be used, or memory is clearly too small.
    OutputError
        If the disk is clearly too small.
    """
    check_conflict()
    yield Progress(0, 0, "Loading the model")
    from ..models.average import gather
    from ..models.preflight import look_ahead

    spec = spec or SegmentSpec()
    place = None if output is None else Path(output)
    opened = open_image(image)
    return (yield from look_ahead(opened, spec, gather(spec, opened), place))


def preflight(image: Any, spec: SegmentSpec | None = None, output: str | Path | None = None) -> Preflight:
    """Estimate what a segmentation will take; see :func:`preflight_steps`."""
    return finish(preflight_steps(image, spec, output))


def audit_steps(
    labels: str | Path,
    image: Any,
    *,
    model: str | tuple[str, ...] | None = None,
    device: str | None = None,
    workers: int = 0,
    scratch: str | Path | None = None,
) -> Steps[Audit]:
    """Do a finished segmentation again, cut in another way, and compare it with the labels.

    Parameters
    ----------
    labels : path
        OME-Zarr or TIFF, as :func:`~napari_unet.workflows.segment` writes them.
    image : Image, path or sequence of path
        Of which they are; a path for each channel where they were read so.
    model : str or tuple of str, optional
        Where the model lies now; by default where the labels say.
    device : str, optional
        Where to compute; by default where the labels were computed, if that is here.
    workers : int
        Threads; 0 takes one a core.
    scratch : path, optional
        A folder with room for what is needed while it runs; by default that of the system.

    Returns
    -------
    Audit
        Every object that differs. For models whose scores do not depend on tiles there is none.

    Yields
    ------
    Progress
        One for every tile and every part that is compared.

    Raises
    ------
    ImageError, ModelError
        If image or model are others than those of the labels.
    OutputError
        If the labels do not say how they were made, or there is no room for the work.
    """
    from ..io.runs import find_manifest
    from ..models.audit import audit_segmentation

    manifest = find_manifest(Path(labels))
    found = read_labels(labels)
    axes = manifest.get("image", {}).get("axes")
    source = open_image(image, axes)
    spec = _spec(manifest, model, device, workers)
    return (yield from audit_segmentation(found, manifest, source, spec, None if scratch is None else Path(scratch)))


def audit(labels: str | Path, image: Any, **options: Any) -> Audit:
    """Do a finished segmentation again, cut in another way, and compare; see :func:`audit_steps`."""
    show: Callable[[Progress], None] | None = options.pop("show", None)
    return finish(audit_steps(labels, image, **options), show)


def _spec(
    manifest: dict[str, Any], model: str | tuple[str, ...] | None, device: str | None, workers: int
) -> SegmentSpec:
    """Return the settings of a run, as far as they can be had here."""
    spec = SegmentSpec.of(**manifest.get("settings", {}))
    changes: dict[str, Any] = {"tiling": spec.tiling.model_copy(update={"workers": workers})}
    if model is not None:
        changes["model"] = model[0] if isinstance(model, tuple) and len(model) == 1 else model
    changes["device"] = device or _here(str(manifest.get("device", "auto")))
    return spec.model_copy(update=changes)


def _here(device: str) -> str:
    from ..models.devices import choose_device

    try:
        return choose_device(device)
    except ModelError:
        return "auto"
