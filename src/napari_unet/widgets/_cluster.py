"""The rows that say on which computers a run computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_unet.core.errors import ImageError
from napari_unet.core.workers import Workers

from ._parts import button, row, words
from ._runs import Followed, RunsRow
from ._worker import Job

if TYPE_CHECKING:
    from napari_unet.core.steps import Steps

    from ._meant import Run
    from .segment import SegmentWidget

__all__ = ["ClusterRows"]

_HELP: Final = (
    "The labels are the same. The image must be a file that all workers see, and so must what is written: .ome.zarr."
)
_LOOK: Final = 500  # milliseconds


class ClusterRows(QWidget):
    """The address of a scheduler, or processes of this computer; who is at work; and runs that go on without napari.

    Parameters
    ----------
    dock : SegmentWidget
        Whose runs are meant.
    """

    def __init__(self, dock: SegmentWidget) -> None:
        super().__init__()
        self._dock = dock
        self.address = QLineEdit()
        self.address.setPlaceholderText("none: compute here")
        self.address.setClearButtonEnabled(True)
        self.address.setToolTip("Address of a dask scheduler, such as tcp://10.0.0.1:8786.")
        self.connect = button("Connect", "See who is at work there.", self.look)
        self.local = QSpinBox()
        self.local.setRange(0, 256)
        self.local.setSpecialValueText("none")
        self.local.setToolTip("Compute in so many processes of this computer, one for each graphics card.")
        self.keep = QCheckBox("Go on when napari is closed")
        self.keep.setToolTip(
            "The run has a process of its own. Find it again under Runs, also after napari was closed."
        )
        self.seen = words()
        self.dashboard = button("Open the dashboard", "What each worker does, in the browser.", self._open)
        self._news = Workers()  # written by the thread of a run, shown by this one
        self._asking: Job | None = None
        self.runs = RunsRow(dock, self.note)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Scheduler", row((self.address, 1), (self.connect, 0)))
        rows.addRow("Local workers", self.local)
        rows.addRow(self.keep)
        rows.addRow(words(_HELP))
        rows.addRow(self.seen)
        rows.addRow(self.dashboard)
        rows.addRow(words("Runs"))  # above the list, whose lines are long
        rows.addRow(self.runs)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK)
        self._timer.timeout.connect(self._show)
        self.address.textChanged.connect(self._one_of_them)
        dock.working.connect(self._lock)
        self._show()
        self._one_of_them()

    @property
    def chosen(self) -> tuple[str, int]:
        """The address of a scheduler, and a number of processes; at most one of them."""
        address = self.address.text().strip()
        return address, 0 if address else self.local.value()

    def send(self, run: Run, source: str | tuple[str, ...] | None) -> Run:
        """Return a run as workers are told of it.

        Parameters
        ----------
        run : Run
            That is meant.
        source : str or tuple of str or None
            The file of its image, or those of its channels.

        Returns
        -------
        Run
            The same where this process computes.

        Raises
        ------
        ImageError
            If workers cannot see its image or its labels.
        """
        if not any(self.chosen) and not self.keep.isChecked():
            return run
        if source is None:
            raise ImageError(
                "Workers cannot see this layer: it is in the memory of napari only, or one of several of a file. Save "
                "it as OME-Zarr and open that, or compute here."
            )
        if run.place is None or not run.place.streams:
            raise ImageError("Workers write labels to a file. Give one under 'Save to' that ends in .ome.zarr.")
        files = (source,) if isinstance(source, str) else source
        return run._replace(image=replace(run.image, source=files[0], files=files if len(files) > 1 else ()))

    def engine(self, engine: ModuleType | Any) -> Any:
        """Return what has the verbs, of which ``segment_steps`` computes where it is chosen."""
        self.runs.shown = None
        chosen = self.chosen
        if self.keep.isChecked():
            return Followed(engine, self.runs, partial(engine.start_run, cluster=chosen), self.note)
        return _Elsewhere(engine, chosen, self.note) if any(chosen) else engine

    def look(self) -> None:
        """Ask the scheduler who is at work, in another thread."""
        address, engine = self.chosen[0], self._dock.engine
        if self._asking is not None or not address:
            return
        self.seen.setText("Connecting …")
        self.seen.show()
        self.connect.setEnabled(False)
        self._asking = Job(partial(engine.look_at_cluster_steps, address), self)
        self._asking.succeeded.connect(self._answered)
        self._asking.failed.connect(self._refused)
        self._asking.start()

    def _answered(self, workers: Workers) -> None:
        self._asking, self._news = None, workers
        self._show()
        if not workers.count:
            self.seen.setText("A scheduler is there, but no worker. Start some: dask worker ADDRESS")
            self.seen.show()
        self._one_of_them()

    def _refused(self, error: BaseException) -> None:
        self._asking, self._news = None, Workers()
        self._show()
        self._dock.complain(error)
        self._one_of_them()

    def note(self, workers: Workers) -> None:
        """Show from now on who is at work; any thread may call it."""
        self._news = workers

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl(self._news.dashboard))

    def _show(self) -> None:
        self.seen.setText(f"At work: {self._news.words}" if self._news.count else "")
        self.seen.setVisible(bool(self._news.count))
        self.dashboard.setVisible(bool(self._news.dashboard))

    def _lock(self, running: bool) -> None:
        for each in (self.address, self.keep):
            each.setEnabled(not running)
        self._one_of_them()
        self.local.setEnabled(self.local.isEnabled() and not running)
        self._news = Workers()
        self._show()
        self._timer.start() if running else self._timer.stop()

    def _one_of_them(self, _text: str = "") -> None:
        address = bool(self.address.text().strip())
        self.local.setEnabled(not address)
        self.connect.setEnabled(address and self._asking is None and self.address.isEnabled())


class _Elsewhere:
    """The verbs, of which one computes on a cluster."""

    def __init__(self, engine: Any, chosen: tuple[str, int], note: Callable[[Workers], None]) -> None:
        self._engine, self._chosen, self._note = engine, chosen, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def segment_steps(self, *given: Any, **named: Any) -> Steps[Any]:
        """Return the steps of a run there."""
        make = partial(self._engine.segment_steps, *given, **named)
        found: Steps[Any] = self._engine.on_cluster_steps(make, *self._chosen, self._note)
        return found
