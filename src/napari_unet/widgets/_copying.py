"""Two buttons that put the call on the clipboard that repeats a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_unet.core.errors import UNetError
from napari_unet.core.specs import SegmentSpec

from ._parts import button, copy, row
from ._settings import PLACEHOLDER, as_command, as_python, output_name

__all__ = ["Call", "CopyRow"]


class Call(NamedTuple):
    """A run: its settings, the file of the image or those of its channels, its axes, and where the labels go.

    Also the axes whose pixels were given another size in the viewer than the file says, with that size and its unit,
    and the address of a scheduler or a number of processes that compute.
    """

    spec: SegmentSpec
    source: str | tuple[str, ...] | None
    axes: str
    output: str | None
    sizes: tuple[tuple[str, float, str], ...] = ()
    cluster: tuple[str, int] = ("", 0)

    @property
    def first(self) -> str | None:
        """The file of the image, or that of its first channel."""
        return self.source[0] if isinstance(self.source, tuple) else self.source


class CopyRow(QWidget):
    """The buttons.

    Parameters
    ----------
    ask : callable
        Returns the run as it is set up now.
    noun : str
        What the labels are of.
    """

    said = Signal(str)
    failed = Signal(object)  # a UNetError

    def __init__(self, ask: Callable[[], Call], noun: str) -> None:
        super().__init__()
        self._ask, self.noun = ask, noun
        self.command = button("Copy as command", "The same run for a terminal.", self.copy_command)
        self.python = button("Copy as Python", "The same run for a script.", self.copy_python)
        layout = row((self.command, 1), (self.python, 1))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def copy_command(self) -> None:
        """Put the shell command that repeats the run on the clipboard."""

        def write(c: Call) -> str:
            # Workers write labels brick by brick.
            name = output_name(c.first, self.noun, ".ome.zarr" if any(c.cluster) else ".tif")
            return as_command(c.spec, c.source, c.axes, c.output or name, c.cluster)

        call = self._copy(write)
        if call is not None and call.sizes:
            given = ", ".join(f"{axis} {size:g} {unit}" for axis, size, unit in call.sizes)
            self.said.emit(
                f"Copied, but the command takes the pixel sizes of the file, and those of the layer differ: {given}. "
                "Copy as Python tells them, too."
            )

    def copy_python(self) -> None:
        """Put the Python code that repeats the run on the clipboard."""
        self._copy(lambda c: as_python(c.spec, c.source, c.axes, c.output, c.sizes))

    def _copy(self, write: Callable[[Call], str]) -> Call | None:
        try:
            call = self._ask()
            copy(write(call))
        except UNetError as error:
            self.failed.emit(error)
            return None
        self.said.emit(
            "Copied." if call.source else f"Copied. Put the path of your image in the place of {PLACEHOLDER}."
        )
        return call
