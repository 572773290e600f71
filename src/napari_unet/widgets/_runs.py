"""Runs in processes of their own: which there are, and how to look at one again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.core.workers import Workers

from ._layers import KEY, file_of
from ._meant import Place, Run
from ._orders import order_words
from ._parts import button, row, words
from ._reader import whole_layer
from ._worker import Job, Report

if TYPE_CHECKING:
    from napari.layers import Layer

    from .segment import SegmentWidget

__all__ = ["Followed", "RunsRow"]

_LOOK: Final = 1.0  # seconds


class RunsRow(QWidget):
    """A list of runs, with buttons to look at the chosen one again and to end it; looked for while it is on the screen.

    Parameters
    ----------
    dock : SegmentWidget
        Shows the labels.
    note : callable
        Gets who is at work on a run that is looked at.
    """

    def __init__(self, dock: SegmentWidget, note: Callable[[Workers], None]) -> None:
        super().__init__()
        self._dock, self._note = dock, note
        self.shown: Any = None  # the run that the dock follows
        self._opened: tuple[Any, dict[str, Any], Layer, Image] | None = None
        self._found: list[tuple[Any, dict[str, Any], str, str]] = []
        self.list = QComboBox()
        self.list.setToolTip("Runs that go on without napari, and those that are over.")
        self.list.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.again = button("Reattach", "Show how far the run is, and its labels while they are found.", self.reattach)
        self.end = button("Cancel run", "End its process. What is done stays: Run goes on where it was.", self.stop)
        self.nothing = words("No runs yet.")
        self.settings = words()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list)
        column.addWidget(self.nothing)
        column.addWidget(self.settings)
        column.addLayout(row((self.again, 1), (self.end, 1)))
        self._job: Job | None = None
        self.list.currentIndexChanged.connect(self._suit)
        dock.working.connect(self._suit)
        self._suit()

    def event(self, event: QEvent | None) -> bool:
        """Look for runs, in another thread, as long as this is on the screen."""
        kind = None if event is None else event.type()
        if kind == QEvent.Type.Show and self._job is None:
            self._job = Job(self._looking, self)
            self._job.polled.connect(self._heard)
            self._job.start()
        if kind == QEvent.Type.Hide and self._job is not None:
            self._job.cancel()
            self._job.deleteLater()
            self._job = None
        return bool(super().event(event))

    def _looking(self) -> Steps[None]:
        engine = self._dock.engine
        while True:
            yield Progress(0, 0, payload=[(run, run.order, run.state, run.words) for run in engine.list_runs()])
            time.sleep(_LOOK)

    def _heard(self, reports: list[Report]) -> None:
        if reports:
            self.show_runs(reports[-1].progress.payload)

    def show_runs(self, found: list[tuple[Any, dict[str, Any], str, str]]) -> None:
        """List runs; the chosen one stays so."""
        chosen = self.chosen
        self._found = found
        if [self.list.itemText(i) for i in range(self.list.count())] != [text for *_, text in found]:
            self.list.blockSignals(True)
            self.list.clear()
            self.list.addItems([text for *_, text in found])
            for number, (_, order, _, text) in enumerate(found):
                self.list.setItemData(number, f"{text}\n{order.get('output', '')}", Qt.ItemDataRole.ToolTipRole)
            places = [run.folder for run, *_ in found]
            if chosen is not None and chosen[0].folder in places:
                self.list.setCurrentIndex(places.index(chosen[0].folder))
            self.list.blockSignals(False)
        self._suit()

    @property
    def chosen(self) -> tuple[Any, dict[str, Any], str, str] | None:
        """The run that is chosen, what it is to do, its state, and that in words."""
        number = self.list.currentIndex()
        return self._found[number] if 0 <= number < len(self._found) else None

    def _suit(self, *_: object) -> None:
        chosen, free = self.chosen, self._dock.job is None
        told = "" if chosen is None else order_words(chosen[1])
        self.settings.setText(told)
        self.settings.setVisible(bool(told))
        self.list.setVisible(bool(self._found))
        self.nothing.setVisible(not self._found)
        self.again.setEnabled(free and chosen is not None and chosen[2] in ("running", "finished"))
        self.end.setEnabled(chosen is not None and chosen[2] == "running")

    def stop(self) -> None:
        """End the process of the chosen run."""
        if self.chosen is not None:
            self.chosen[0].stop()
            self._dock.say("The run ends. What is done stays.")

    def stop_shown(self) -> None:
        """End the process of the run that the dock follows, if it follows one."""
        if self.shown is not None and self._dock.job is not None:
            self.shown.stop()

    # Looking at one again.

    def reattach(self) -> None:
        """Open the image of the chosen run, if it is not there, and follow the run."""
        if self.chosen is None or self._dock.job is not None:
            return
        run, order, *_ = self.chosen
        engine = self._dock.engine

        def make() -> Steps[Any]:
            yield Progress(0, 0, "Opening the image")
            image = engine.read_image(order["source"], order["axes"])
            return run, order, image, whole_layer(image)

        self._dock.begin(make, self._dock.follow, self._add)

    def _add(self, result: Any) -> str:
        run, order, image, (data, options, _) = result
        viewer, source = self._dock.viewer, order["source"]
        layer = next((y for y in viewer.layers if source in (y.source.path, file_of(y))), None)
        if layer is None:
            layer = viewer.add_image(data, **options)
            layer.metadata[KEY]["file"] = source
        self._opened = run, order, layer, image
        QTimer.singleShot(0, self._follow)
        return "Looking at the run …"

    def _follow(self) -> None:
        if self._opened is None or self._dock.job is not None:
            return
        (run, order, layer, image), self._opened = self._opened, None
        place = Place(Path(order["output"]))
        engine = Followed(self._dock.engine, self, lambda *_: run, self._note)
        self._dock.watch(layer, Run(image, SegmentSpec.of(**order["spec"]), place), engine)


class Followed:
    """The verbs, of which ``segment_steps`` looks on while another process computes.

    Parameters
    ----------
    engine : module
        Has the verbs.
    runs : RunsRow
        Is told which run it is.
    find : callable
        Starts or finds the run; gets image, settings, place, and whether labels may be replaced.
    note : callable
        Gets who is at work.
    """

    def __init__(self, engine: Any, runs: RunsRow, find: Callable[..., Any], note: Callable[[Workers], None]) -> None:
        self._engine, self._runs, self._find, self._note = engine, runs, find, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def segment_steps(self, image: Image, spec: Any, *, output: Path, overwrite: bool, **_: Any) -> Steps[Any]:
        """Return the steps of looking on."""
        yield Progress(0, 0, "Starting")
        self._runs.shown = run = self._find(image, spec, output, overwrite)
        return (yield from self._engine.follow_run_steps(run, image, self._note))
