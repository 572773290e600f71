"""Many images with the settings of a dock: a folder, a plate, or positions of a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QWidget

from napari_unet.core.batches import FORMATS, Batch, Found, in_words
from napari_unet.core.errors import ImageError, SpecError
from napari_unet.core.processes import shell_line
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps, retold

from ._beside import BesideRows, FolderRow
from ._found import FoundTable
from ._outcome import progress_words
from ._parts import Fold, button, copy, row
from ._settings import option_words
from ._worker import Report

if TYPE_CHECKING:
    from ._cluster import ClusterRows
    from .segment import SegmentWidget

__all__ = ["ManyRows", "as_batch"]


class ManyRows(QWidget):
    """Rows of a dock that segment many images, and the table of what came of them.

    Parameters
    ----------
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    dock : SegmentWidget
        Whose settings are used, and whose job it is.
    """

    def __init__(self, engine: ModuleType | Any, dock: SegmentWidget) -> None:
        super().__init__()
        self._engine, self._dock = engine, dock
        self.source, self.output, self.axes, self.around = (QLineEdit() for _ in range(4))
        self.source.setPlaceholderText("a folder of images, or a plate (.zarr)")
        self.output.setPlaceholderText("a folder for labels and tables")
        self.axes.setPlaceholderText("as the files say")
        self.axes.setToolTip("What the dimensions are where the files do not say it, such as tyx: one letter each.")
        self.around.setPlaceholderText("nothing; such as 5 µm, or 12 (pixels)")
        self.around.setToolTip("Measure the ring around each object, too, such as the cytoplasm around a nucleus.")
        self.beside = BesideRows()
        self.kind = QComboBox()
        self.kind.addItems([*FORMATS])
        self.kind.setToolTip("OME-Zarr takes images of any size, and a run that was stopped goes on within an image.")
        self.replace = QCheckBox("Replace what is there")
        self.start = button(
            "Segment all", "Every image, with the settings above; what is done is not done again.", self.run
        )
        self.copy = button("Copy as command", "The same for a terminal or a cluster.", self.copy_command)
        self.table = FoundTable(dock)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Images", FolderRow(self.source, "A folder of images, or a plate"))
        form.addRow("Results", FolderRow(self.output, "A folder for the results"))
        form.addRow("Labels as", self.kind)
        form.addRow("Axes", self.axes)
        form.addRow("Around", self.around)
        form.addRow(Fold("Objects within objects", self.beside))
        form.addRow(self.replace)
        buttons = QWidget()
        layout = row((self.start, 1), (self.copy, 1))
        layout.setContentsMargins(0, 0, 0, 0)
        buttons.setLayout(layout)
        form.addRow(buttons)
        form.addRow(self.table)
        self.source.editingFinished.connect(self._propose)
        dock.working.connect(self.start.setDisabled)

    def _propose(self) -> None:
        """Propose a folder beside the images, unless one was chosen."""
        if self.source.text().strip() and not self.output.text().strip():
            source = Path(self.source.text().strip()).expanduser()
            name = source.name.removesuffix(".zarr").removesuffix(".ome")
            self.output.setText(str(source.with_name(f"{name}-{self._dock.models.noun.replace(' ', '-')}")))

    def _measured(self) -> dict[str, str]:
        """Return what is measured beside the objects."""
        around = self.around.text().strip()
        return ({"around": around} if around else {}) | self.beside.asked()

    def _meant(self) -> tuple[SegmentSpec, Path, Path]:
        """Return settings and places; an error says what is missing."""
        self._propose()
        source, output = self.source.text().strip(), self.output.text().strip()
        if not source or not output:
            raise ImageError("Say where the images are, and in which folder the results go ('Many images').")
        spec = self._dock.spec()
        if spec.region is not None:
            raise SpecError("'Only inside' is for one image. Choose 'everywhere' there to segment many.")
        if spec.anomaly:
            raise SpecError("'Show anomalies' is for one image. Uncheck it (Advanced) to segment many.")
        return spec, Path(source).expanduser(), Path(output).expanduser()

    def run(self) -> None:
        """Segment all; what is missing is said in the dock's status line."""
        dock, engine, kind, axes = self._dock, self._engine, self.kind.currentText(), self.axes.text().strip() or None
        if dock.job is not None:
            return
        with dock.complaining():
            spec, source, output = self._meant()
            how = {"kind": kind, "axes": axes, "overwrite": self.replace.isChecked(), **self._measured()}
            steps = _sent(dock.cluster, engine, partial(engine.batch_steps, source, output, spec, **how), kind)
            self.table.begin(source, output)
            dock.begin(lambda: retold(steps(), _told), self._polled, self._done)

    def copy_command(self) -> None:
        """Put the shell command that does the same on the clipboard."""
        with self._dock.complaining():
            spec, source, output = self._meant()
            more: dict[str, Any] = {"axes": self.axes.text().strip(), **self._measured()}
            more |= dict(zip(("scheduler", "local_workers"), self._dock.cluster.chosen, strict=True))
            copy(as_batch(spec, source, output, self.kind.currentText(), more))
            self._dock.say("Copied.")

    def _polled(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report.progress.payload, Found):
                self.table.tell(report.progress.payload)
        self._dock.follow(reports)
        if reports:
            self._dock.say(progress_words(reports[-1].progress, self._dock.pace))

    def _done(self, found: Batch) -> str:
        self.replace.setChecked(False)
        self.table.list(found.images)
        failed = f" {found.failed} could not be segmented: see the notes." if found.failed else ""
        images = f"{found.done} image{'s' * (found.done != 1)}"
        what = in_words(found.shares) or f"{found.objects} {self._dock.models.noun}"
        where = "on average of" if found.shares else "in"
        return f"Found {what} {where} {images}.{failed} Saved: {found.folder}."


def _sent(
    cluster: ClusterRows, engine: ModuleType | Any, make: Callable[..., Steps[Batch]], kind: str
) -> Callable[[], Steps[Batch]]:
    """Return what makes the steps of a run, on the cluster that is chosen; an error says what cannot be done there."""
    if cluster.keep.isChecked():
        raise SpecError("'Go on when napari is closed' (Cluster) is for one image. Uncheck it, or use a terminal.")
    if not any(cluster.chosen):
        return make
    if kind != FORMATS[0]:
        raise ImageError(f"Workers write labels as {FORMATS[0]}. Choose that under 'Labels as', or compute here.")
    return partial(engine.on_cluster_steps, make, *cluster.chosen, cluster.note)


def _told(progress: Progress) -> Progress:
    """Leave out what the table says."""
    return replace(progress, news="") if progress.payload is not None else progress


def as_batch(spec: SegmentSpec, source: Path, output: Path, kind: str, more: dict[str, Any]) -> str:
    """Write a run over many images as a shell command.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of the run.
    source, output : Path
        Folders of the images and of the results.
    kind : str
        How files of labels end.
    more : dict
        ``axes`` of the images; what is measured ``around`` objects, ``inside`` them, and what they lie ``within``; the
        address of a ``scheduler``, the number of ``local_workers``; empty where nothing is said.

    Returns
    -------
    str
        One line, quoted for the shell of this system.
    """
    words = option_words(spec, {**more, "format": "" if kind == FORMATS[0] else kind})
    return shell_line(["napari-unet", "batch", str(source), "--output", str(output), *words])
