"""What one dock has to tell the others."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QObject, Signal

__all__ = ["NEWS", "News"]


class News(QObject):
    """Signals between docks; connect methods of widgets only: Qt lets them go with their widget."""

    models = Signal()  # a model was added or removed
    found = Signal()  # a labels layer holds what a run has found


NEWS: Final = News()
