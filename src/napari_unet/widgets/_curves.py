"""Loss and validation while a model learns, as curves and in words."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import Any, Final

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.core.results import Epoch

from ._parts import words

__all__ = ["Curves", "load_plots"]

_LIBRARY: Final = "pyqtgraph"
_TITLES: Final = ("loss", "score")
_LOSSES: Final = ("loss", "validation loss")
_HEIGHT: Final = 150
_TURN: Final = 30  # milliseconds, in which the screen is drawn and the user heard
_COLORS: Final = ("#4fa3e0", "#f0a030", "#60c060", "#d070c0")
_BEST: Final = ("mAP", "AP50", "mDice", "Dice")  # scores that are shown first, if they are there


def load_plots() -> None:
    """Load the library that draws, which takes half a second; to be called where nobody waits for it."""
    if find_spec(_LIBRARY) is not None:
        import_module(_LIBRARY)


class Curves(QWidget):
    """The curves of one training; words alone where the library that draws them is not installed."""

    def __init__(self) -> None:
        super().__init__()
        self.text = words()
        self.points: dict[str, list[tuple[float, float]]] = {}
        self._lines: dict[str, Any] = {}
        self._plots: list[Any] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.text)
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(_TURN)
        self._again.timeout.connect(self._draw)
        self.clear()

    def clear(self) -> None:
        """Forget the curves."""
        self.points.clear()
        for line in self._lines.values():
            line.setData([], [])
        self.text.setText("")
        self.setVisible(False)

    def add(self, epochs: list[Epoch]) -> None:
        """Add what was reported.

        Parameters
        ----------
        epochs : list of Epoch
            In their order.
        """
        for epoch in epochs:
            minutes = epoch.seconds / 60
            found = {"loss": epoch.loss} if isfinite(epoch.loss) else {}  # none before the first step
            found |= {_LOSSES[1] if name == "loss" else name: v for name, v in epoch.validation.items()}
            for name, value in found.items():
                self.points.setdefault(name, []).append((minutes, value))
        if epochs:
            self._tell()
            self.setVisible(True)
            self._again.start()

    @property
    def scores(self) -> list[str]:
        """Names of the scores that were measured, the most telling first."""
        found = [name for name in self.points if "loss" not in name]
        return sorted(found, key=lambda name: next((i for i, b in enumerate(_BEST) if name.startswith(b)), len(_BEST)))

    def _tell(self) -> None:
        said = [f"Loss {value:.3f}" for _, value in self.points.get("loss", [])[-1:]]
        for name in self.scores[:2]:
            values = [value for _, value in self.points[name]]
            best = f" (best {max(values):.3f})" if max(values) > values[-1] else ""
            said.append(f"{name} {values[-1]:.3f}{best}")
        self.text.setText(", ".join(said))

    def _draw(self) -> None:
        if len(self._plots) < len(_TITLES) and find_spec(_LIBRARY) is not None:
            # One at a time, and not together with what else a report brings: each takes a twentieth of a second.
            try:
                self._open(_TITLES[len(self._plots)])
            except RuntimeError:  # what Qt says of a deleted widget: a closed window may be collected just now
                return
            self._again.start()
        losses: list[str] = [name for name in _LOSSES if name in self.points]
        for plot, names in zip(self._plots, (losses, self.scores[: len(_COLORS)]), strict=False):
            plot.setVisible(bool(names))
            plot.setXRange(0, max((self.points[name][-1][0] for name in names), default=0) or 1, padding=0.02)
            for i, name in enumerate(names):
                if name not in self._lines:
                    color = _COLORS[_LOSSES.index(name) if name in _LOSSES else i]
                    self._lines[name] = plot.plot(pen={"color": color, "width": 2}, name=name, symbolSize=5)
                times, values = zip(*self.points[name], strict=True)
                self._lines[name].setData(times, values)
            # Above the curves, which leave no corner free for a legend.
            told = (f"<span style='color:{self._lines[name].opts['pen']['color']}'>● {name}</span>" for name in names)
            plot.setTitle("&nbsp;&nbsp; ".join(told), size="9pt")

    def _open(self, title: str) -> None:
        color = self.palette().windowText().color()
        plot = import_module(_LIBRARY).PlotWidget(background=None)
        plot.setFixedHeight(_HEIGHT)
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.showGrid(y=True, alpha=0.2)
        for side, text in (("left", title), ("bottom", "minutes")):
            axis = plot.getAxis(side)
            axis.setPen(color)
            axis.setTextPen(color)
            axis.enableAutoSIPrefix(False)
            plot.setLabel(side, text, color=color.name())
        plot.getAxis("left").setWidth(48)
        self._column.addWidget(plot)
        self._plots.append(plot)
