"""What a widget shows, as the content of a file."""

from __future__ import annotations

from typing import Any, Final

from qtpy.QtCore import QBuffer, QIODevice, QRect, QRectF
from qtpy.QtGui import QImage, QPainter
from qtpy.QtSvg import QSvgGenerator
from qtpy.QtWidgets import QGraphicsView, QWidget

__all__ = ["picture_of"]

_FINE: Final = 3  # pixels of the picture for one of the screen


def picture_of(widget: QWidget, vector: bool = False) -> bytes:
    """Draw a widget as it is shown.

    Parameters
    ----------
    widget : QWidget
        Shown or not.
    vector : bool
        As SVG; else as PNG, three times as fine as the screen.

    Returns
    -------
    bytes
        Of the file.
    """
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    size = widget.size()
    target: Any
    if vector:
        target = QSvgGenerator()
        target.setOutputDevice(buffer)
        target.setSize(size)
        target.setViewBox(QRect(0, 0, size.width(), size.height()))
    else:
        target = QImage(_FINE * size, QImage.Format.Format_ARGB32)
        target.setDevicePixelRatio(_FINE)
    painter = QPainter(target)
    painter.fillRect(QRectF(0, 0, size.width(), size.height()), widget.palette().window())
    if isinstance(widget, QGraphicsView):
        # Its own way to render fills the device, of which it counts the fine pixels.
        widget.render(painter, QRectF(0, 0, size.width(), size.height()))
    else:
        widget.render(painter)
    painter.end()
    if not vector:
        target.save(buffer, "PNG")
    return bytes(buffer.data().data())
