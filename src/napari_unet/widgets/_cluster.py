"""The rows that say on which computers a run computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_unet.core.errors import ImageError

from ._parts import words

if TYPE_CHECKING:
    from napari_unet.core.steps import Steps

    from ._meant import Run
    from ._panel import Panel

__all__ = ["ClusterRows"]

_HELP: Final = (
    "The labels are the same. The image must be a file that all workers see, and so must what is written: .ome.zarr."
)
_LOOK: Final = 500  # milliseconds


class ClusterRows(QWidget):
    """Two rows: the address of a scheduler, or processes of this computer; and below who is at work.

    Parameters
    ----------
    dock : Panel
        Whose runs are meant.
    """

    def __init__(self, dock: Panel) -> None:
        super().__init__()
        self.address = QLineEdit()
        self.address.setPlaceholderText("none: compute here")
        self.address.setClearButtonEnabled(True)
        self.address.setToolTip("Address of a dask scheduler, such as tcp://10.0.0.1:8786.")
        self.local = QSpinBox()
        self.local.setRange(0, 256)
        self.local.setSpecialValueText("none")
        self.local.setToolTip("Compute in so many processes of this computer, one for each graphics card.")
        self.seen = words()
        self.seen.setOpenExternalLinks(True)
        self.seen.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Scheduler", self.address)
        rows.addRow("Local workers", self.local)
        rows.addRow(words(_HELP))
        rows.addRow(self.seen)
        self._news = (0, "")  # written by the thread of a run, shown by this one
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK)
        self._timer.timeout.connect(self._show)
        self.address.textChanged.connect(self._one_of_them)
        dock.working.connect(self._lock)
        self._show()

    @property
    def chosen(self) -> tuple[str, int]:
        """The address of a scheduler, and a number of processes; at most one of them."""
        address = self.address.text().strip()
        return address, 0 if address else self.local.value()

    def send(self, run: Run, source: str | None) -> Run:
        """Return a run as workers are told of it.

        Parameters
        ----------
        run : Run
            That is meant.
        source : str or None
            The file of its image.

        Returns
        -------
        Run
            The same where this process computes.

        Raises
        ------
        ImageError
            If workers cannot see its image or its labels.
        """
        if not any(self.chosen):
            return run
        if source is None:
            raise ImageError(
                "Workers cannot see this layer: it is in the memory of napari only, or one of several of a file. Save "
                "it as OME-Zarr and open that, or compute here."
            )
        if run.place is None or not run.place.streams:
            raise ImageError("Workers write labels to a file. Give one under 'Save to' that ends in .ome.zarr.")
        return run._replace(image=replace(run.image, source=source))

    def engine(self, engine: ModuleType | Any) -> Any:
        """Return what has the verbs, of which ``segment_steps`` computes where it is chosen."""
        return _Elsewhere(engine, self.chosen, self._note) if any(self.chosen) else engine

    def _note(self, workers: int, dashboard: str) -> None:
        self._news = workers, dashboard

    def _show(self) -> None:
        workers, dashboard = self._news
        text = f"{workers} worker{'s' * (workers != 1)} at work" if workers else ""
        if workers and dashboard:
            text += f' · <a href="{dashboard}">what they do</a>'
        self.seen.setText(text)
        self.seen.setVisible(bool(text))

    def _lock(self, running: bool) -> None:
        self.address.setEnabled(not running)
        self._one_of_them()
        self.local.setEnabled(self.local.isEnabled() and not running)
        self._news = (0, "")
        self._show()
        self._timer.start() if running else self._timer.stop()

    def _one_of_them(self, _text: str = "") -> None:
        self.local.setEnabled(not self.address.text().strip())


class _Elsewhere:
    """The verbs, of which one computes on a cluster."""

    def __init__(self, engine: Any, chosen: tuple[str, int], note: Callable[[int, str], None]) -> None:
        self._engine, self._chosen, self._note = engine, chosen, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def segment_steps(self, *given: Any, **named: Any) -> Steps[Any]:
        """Return the steps of a run there."""
        make = partial(self._engine.segment_steps, *given, **named)
        found: Steps[Any] = self._engine.on_cluster_steps(make, *self._chosen, self._note)
        return found
