"""Lesions on the command line: their table, their growth, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import workflows
from .._terminal import tell, watch
from ..core.axes import Image
from ..core.errors import SpecError
from ..core.lesions import Growth, Lesions
from ..core.results import Table
from ._options import Channel, Series
from .reading import open_image

__all__ = ["Before", "Changes", "Classes", "Organ", "Quantity", "Scores", "measure", "report"]

Classes = Annotated[
    bool, typer.Option("--classes", help="The labels are classes: every connected piece of one is a lesion.")
]
Organ = Annotated[Path | None, typer.Option(help="Mask of the organ, to measure how far lesions are from its border.")]
Scores = Annotated[Path | None, typer.Option(help="Scores of the pixels; their mean in a lesion is its confidence.")]
Before = Annotated[Path | None, typer.Option(help="Labels of an earlier time, in the same place: what has changed?")]
Changes = Annotated[Path | None, typer.Option(help="Table of changes since --before to write.")]
Quantity = Annotated[
    str,
    typer.Option(help="What intensities are, such as SUV; of channels: HU,SUV.", show_default="as the image says"),
]


def measure(
    labels: Path, image: Image | None, axes: str | None, files: dict[str, Path | None], classes: bool
) -> tuple[Table, dict[str, Any]]:
    """Measure lesions.

    Parameters
    ----------
    labels : Path
        Labels or classes.
    image : Image or None
        Intensities.
    axes : str or None
        Of the labels.
    files : dict of str to Path or None
        ``organ``, ``scores``, ``before`` and ``changes``.
    classes : bool
        Whether labels are classes.

    Returns
    -------
    table : dict of ndarray
        One row a lesion.
    rows : dict
        What to tell about it.
    """
    if files["changes"] and not files["before"]:
        raise SpecError("--changes needs labels of an earlier time to compare with: give them with --before.")
    found = _measured(labels, image, axes, files, classes)
    rows = _summary(found)
    if files["before"]:
        growth = _compared(files["before"], found, axes, classes)
        rows |= {name.replace("_", " ").capitalize(): f"{value:.5g}" for name, value in growth.summary.items()}
        rows |= growth.class_words
        rows |= {"Response": growth.response.words} if growth.response else {}
        if files["changes"]:
            workflows.write_table(files["changes"], growth.changes)
            rows["Changes"] = files["changes"]
    return found.table, rows


def report(  # noqa: PLR0913  # a command's options are its arguments
    image: Annotated[Path, typer.Argument(help="Image, for the pictures and intensities.", show_default=False)],
    labels: Annotated[Path, typer.Argument(help="Its lesions, as 'segment' writes them.", show_default=False)],
    channel: Channel = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .html or .pdf.")] = Path("report.html"),
    classes: Classes = False,
    organ: Organ = None,
    scores: Scores = None,
    before: Before = None,
    quantity: Quantity = "",
    title: Annotated[str, typer.Option(help="Heading. Names of files are never written.", show_default=False)] = "",
    axes: Annotated[str | None, typer.Option(help="What the dimensions of the image are, such as zyx.")] = None,
    series: Series = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a report of lesions: one page of HTML or PDF with pictures, diameters and a table. Not for clinical use.

    Pictures show the first channel, the table has the intensities of all.
    """
    workflows.check_place(output, overwrite=overwrite, noun="a report")
    source = open_image(image, axes, series, channel)
    files = {"organ": organ, "scores": scores}
    found = _measured(labels, source, source.label_axes, files, classes, quantity)
    growth = _compared(before, found, source.label_axes, classes) if before else None
    watch(workflows.report_lesions_steps(output, found, source, growth=growth, title=title))
    tell(_summary(found) | {"Report": output})


def _measured(
    labels: Path,
    image: Image | None,
    axes: str | None,
    files: dict[str, Path | None],
    classes: bool,
    quantity: str = "",
) -> Lesions:
    source = workflows.read_labels(labels, axes, image)
    others = {name: _beside(files.get(name), source) for name in ("organ", "scores")}
    return watch(workflows.measure_lesions_steps(source, image, classes=classes, quantity=quantity, **others))


def _beside(path: Path | None, labels: Image) -> Image | None:
    return None if path is None else workflows.read_image(path, labels.axes)


def _compared(before: Path, found: Lesions, axes: str | None, classes: bool) -> Growth:
    earlier = watch(workflows.measure_lesions_steps(workflows.read_labels(before, axes), classes=classes))
    return watch(workflows.compare_lesions_steps(earlier, found))


def _summary(found: Lesions) -> dict[str, Any]:
    table: dict[str, Any] = dict(found.table)
    rows: dict[str, Any] = {"Lesions": len(table["index"])}
    size = next(name for name in ("volume_ml", "volume", "area") if name in table)
    rows[size.partition("_")[0].capitalize()] = f"{table[size].sum():.5g} {found.units.get(size, '')}".strip()
    if len(table["index"]):
        unit = found.units.get("longest_diameter", "")
        rows["Longest diameter"] = f"{table['longest_diameter'].max():.5g} {unit}".strip()
    return rows
