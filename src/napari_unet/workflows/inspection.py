"""Inspect images: defects one by one, and whether an image passes."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..core.axes import Image
from ..core.defects import Inspection, Verdict
from ..core.errors import MemoryShortError, OutputError, SpecError, UNetError
from ..core.inspecting import InspectSpec
from ..core.rules import Rule, parse_rule
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps, finish
from .files import read_image
from .objects import segment_steps

if TYPE_CHECKING:
    from ..core.defects import Defect
    from ..core.model_card import ModelCard

__all__ = ["inspect", "inspect_image_steps", "inspect_steps", "match_channels"]

Source = str | Path
_LARGE: Final = 64 << 20  # pixels, above which labels are kept on the disk while they are measured
_MILLIMETER: Final = "millimeter"


def inspect_image_steps(
    image: Image, spec: SegmentSpec, how: InspectSpec | None = None, name: str = "", keep: Path | None = None
) -> Steps[Verdict]:
    """Find the defects of one image, and say whether it passes.

    Parameters
    ----------
    image : Image
        Of any size: labels of very large ones, such as line scans, are kept on the disk.
    spec : SegmentSpec
        Which model, and how.
    how : InspectSpec, optional
        When it passes; its size of pixels is not looked at.
    name : str
        What to call it; its own name if empty.
    keep : Path, optional
        Where the labels go.

    Returns
    -------
    Verdict
        Pass or fail, and all defects; an error where too much was not seen, or its intensities are not such as the
        model knows, and the rest does not fail.

    Yields
    ------
    Progress
        Of the segmentation, then of the measurement.

    Raises
    ------
    UNetError
        If it cannot be inspected, or the rule asks for what is not known of it.
    """
    start, how = time.perf_counter(), how or InspectSpec()
    rule = parse_rule(how.rule)
    _check_classes(rule, spec)
    defects, unknown, share = yield from _defects(image, spec, keep)
    reason = rule.failed_by(defects)
    verdict: Literal["pass", "fail", "error"] = "fail" if reason else "pass"
    if not reason and share > how.unseen:
        verdict, reason = "error", unknown
    seconds = time.perf_counter() - start
    return Verdict(name or image.name, verdict, reason, defects, seconds)


def _check_classes(rule: Rule, spec: SegmentSpec) -> None:
    """Refuse a rule that no defect can meet: what it means to find would pass."""
    from ..models.cards import find_model, read_card

    card = read_card(find_model(spec.models[0]))
    known = {name.casefold() for name in _names(card)}
    missing = [name for name in rule.classes if name.casefold() not in known]
    if missing:
        raise SpecError(
            f"The rule names the class '{missing[0]}', which the model '{card.name}' does not know. It knows: "
            f"{', '.join(_names(card))}."
        )


def _defects(image: Image, spec: SegmentSpec, keep: Path | None) -> Steps[tuple[tuple[Defect, ...], str, float]]:
    """Return all defects, and in words and as a share what nobody knows of the image."""
    from ..measures._defects import find_defects
    from ..models.cards import find_model, read_card
    from ..targets import count_classes

    card = read_card(find_model(spec.models[0]))
    names = _names(card) if count_classes(card.target) else ()
    with tempfile.TemporaryDirectory(prefix="napari-unet-") as folder:
        output = keep
        if output is None and math.prod(image.along(image.label_axes)[0]) > _LARGE:
            output = Path(folder) / "labels.ome.zarr"
        found = yield from segment_steps(image, spec, (), preview=False, output=output, overwrite=True)
        defects = yield from find_defects(found.labels, names, found.uncertainty)
    if not names and card.target.classes:
        defects = tuple(replace(one, kind=card.target.classes[0]) for one in defects)
    pixels = math.prod(image.along(image.label_axes)[0])
    lost = found.manifest.get("not_a_number", 0) / max(pixels, 1)
    doubt = str(found.manifest.get("doubt", ""))
    lost = min(lost + (found.flat or bool(found.manifest.get("unreadable")) or bool(doubt)), 1.0)
    return defects, doubt or f"Not seen: {found.unseen}, {lost:.1%} of the image.", lost


def _names(card: ModelCard) -> tuple[str, ...]:
    return card.target.classes or ("object",)


def match_channels(sources: Sequence[str | Path]) -> list[tuple[Path, ...]]:
    """Find which files are the channels of one image; see :func:`napari_unet.io.folders.match_channels`."""
    from ..io.folders import match_channels as match

    return match([Path(source) for source in sources])


def inspect_steps(
    source: Source | Sequence[Source | Sequence[Source]],
    output: str | Path,
    spec: SegmentSpec,
    how: InspectSpec | None = None,
    *,
    labels: str | Path | None = None,
    overwrite: bool = False,
) -> Steps[Inspection]:
    """Inspect images one after the other; a run that was stopped goes on with those that are left.

    Parameters
    ----------
    source : path or sequence of (path or sequence of path)
        Images, or a folder of them. Where each channel is a file of its own, the files of an image are a sequence;
        :func:`match_channels` finds them in folders.
    output : path
        Table of all defects, ``.csv``; verdicts go to ``<name>.images.csv`` beside it. Rows are written as they come.
    spec : SegmentSpec
        Which model, and how.
    how : InspectSpec, optional
        When an image passes: by default if it has no defect.
    labels : path, optional
        Folder for the labels of each image, as OME-Zarr. Labels of a run are replaced, unless they were
        corrected by hand.
    overwrite : bool
        Begin anew where there is a report, also with other settings.

    Returns
    -------
    Inspection
        How many of these images passed and failed, now or before; an image that cannot be inspected counts as an error,
        and the others go on.

    Yields
    ------
    Progress
        One an image, and those of the image at hand; the payload is a Verdict where one is there.

    Raises
    ------
    UNetError
        If the rule, the model or the place for the report cannot be used, or the report has another image of the
        name of one of these.
    """
    from ..io.folders import check_replaced, folder_of, images_of, label_names, name_apart
    from ..io.reports import Report
    from ..models.cards import find_model, read_card

    images, how = images_of(source), how or InspectSpec()
    _check_classes(parse_rule(how.rule), spec)
    models = [read_card(find_model(name)).sha256 for name in spec.models]
    settings = {"model": models, "settings": _lasting(spec), "rule": how.rule, "pixel size": how.pixel_size}
    settings |= {"unseen": how.unseen} if how.unseen else {}
    report = Report(Path(output), settings, overwrite)
    names = name_apart([files[0] for files in images], folder_of(source, images))
    report.plan([*zip(names, images, strict=True)])
    kept = [Path(labels) / f"{name}.ome.zarr" if labels else None for name in label_names(names)]
    if not overwrite:
        todo = zip(images, names, kept, strict=True)
        check_replaced([keep for files, name, keep in todo if keep and not report.has(name, *files)])
    for done, (files, name) in enumerate(zip(images, names, strict=True)):
        yield Progress(done, len(images), f"Inspecting {name}")
        if report.has(name, *files):
            continue
        verdict = yield from _judged(files, name, (spec, how, kept[done]), (done, len(images)))
        report.add(verdict, *files)
        yield Progress(done + 1, len(images), f"Inspecting {name}", verdict, news=_said(verdict))
    return report.summary(names)


def _judged(
    files: Sequence[Path], name: str, how: tuple[SegmentSpec, InspectSpec, Path | None], at: tuple[int, int]
) -> Steps[Verdict]:
    """Inspect an image; what is wrong with it alone is its verdict."""
    spec, wanted, keep = how
    start = time.perf_counter()
    try:
        image = read_image(files)
        if image.said:
            yield Progress(*at, f"Inspecting {name}", news=f"{name}: {' '.join(image.said)}")
        if wanted.pixel_size is not None:
            image = image.scaled(**dict.fromkeys("yx", (wanted.pixel_size, _MILLIMETER)))
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
        steps = inspect_image_steps(image, spec, wanted, name, keep)
        try:
            while True:
                yield replace(next(steps), done=at[0], total=at[1], payload=None)
        except StopIteration as end:
            found: Verdict = end.value
            return found
        finally:
            steps.close()
    except (OutputError, MemoryShortError):
        raise
    except UNetError as error:
        return Verdict(name, "error", str(error), seconds=time.perf_counter() - start)


def _lasting(spec: SegmentSpec) -> dict[str, Any]:
    """Return settings that can change a verdict."""
    return spec.model_dump(mode="json", exclude={"model", "tiling", "device"})


def _said(verdict: Verdict) -> str:
    count = f"{len(verdict.defects)} defect{'s' * (len(verdict.defects) != 1)}"
    why = f": {verdict.reason}" if verdict.reason else ""
    return f"{verdict.image}: {verdict.verdict}{why}" + (f" ({count})" if verdict.verdict != "error" else "")


def inspect(
    source: Source | Sequence[Source | Sequence[Source]],
    output: str | Path,
    spec: SegmentSpec | None = None,
    *,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Inspection:
    """Inspect images one after the other; see :func:`inspect_steps`.

    Parameters
    ----------
    source, output, spec : Any
        As for :func:`inspect_steps`.
    show : callable, optional
        Called with every Progress.
    **options : Any
        ``labels`` and ``overwrite`` of :func:`inspect_steps`, the fields of InspectSpec (``rule``, ``pixel_size``), and
        those of SegmentSpec.

    Returns
    -------
    Inspection
        How many images passed.
    """
    own = {name: options.pop(name) for name in ("labels", "overwrite") if name in options}
    how = InspectSpec.of(**{name: options.pop(name) for name in InspectSpec.model_fields if name in options})
    spec = SegmentSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(inspect_steps(source, output, spec, how, **own), show)
