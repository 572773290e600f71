"""The choice of a model that foretells motion, and the call that repeats a tracking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.core.errors import UNetError
from napari_unet.core.linking import LinkSpec
from napari_unet.core.model_card import ModelCard
from napari_unet.core.processes import shell_line

from ._parts import button, copy, row

__all__ = ["MotionBox", "TrackCall", "TrackCopies", "as_command", "as_python"]

_NOTHING: Final = "none"
_TARGET: Final = "motion"
_LABELS: Final = "LABELS.tif"
_IMAGE: Final = "IMAGE.tif"
_DECIDED: Final = {"fixed", "forbidden", "absent"}


class MotionBox(QComboBox):
    """A list of the models that foretell motion, and of none."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setToolTip(
            "A model that has learned how cells move (kind 'Motion of cells and nuclei' in the training dock). Needs "
            "the image. It is for cells that move farther than they are wide."
        )
        self.addItem(_NOTHING, "")

    def fill(self, cards: Sequence[ModelCard]) -> None:
        """List models; the choice stays where it can."""
        before = self.name
        self.clear()
        self.addItem(_NOTHING, "")
        for card in cards:
            if card.target.name == _TARGET:
                self.addItem(card.caption, card.name)
                self.setItemData(self.count() - 1, card.description, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(max(0, self.findData(before)))

    @property
    def name(self) -> str:
        """The name of the chosen model; empty for none."""
        return str(self.currentData() or "")


class TrackCall(NamedTuple):
    """A tracking: settings, file of the labels (None: from no file), axes, file of the image ("": no image), model."""

    spec: LinkSpec
    labels: str | None
    axes: str
    image: str | None
    model: str


def as_command(call: TrackCall) -> str:
    """Write a tracking as a shell command.

    Parameters
    ----------
    call : TrackCall
        With an empty `image` where there is none, and None where it is in no file.

    Returns
    -------
    str
        One line, quoted for the shell of this system.
    """
    words = ["napari-unet", "track", call.labels or _LABELS, "--output", "tracks.csv", "--axes", call.axes]
    for name, value in _changed(call.spec).items():
        option = name.replace("_", "-")
        plain = isinstance(value, bool)
        words += [f"--{option}" if value or not plain else f"--no-{option}"] + ([] if plain else [str(value)])
    if call.image != "":
        words += ["--image", call.image or _IMAGE]
    if call.model:
        words += ["--model", call.model]
    return shell_line(words)


def as_python(call: TrackCall) -> str:
    """Write a tracking as Python.

    Parameters
    ----------
    call : TrackCall
        As in :func:`as_command`.

    Returns
    -------
    str
        Lines that leave the tracks in ``tracks``.
    """
    options = "".join(f", {name}={value!r}" for name, value in _changed(call.spec).items())
    reading = ""
    if call.image != "":
        reading, options = f"image = read_image({call.image or _IMAGE!r}, {call.axes!r})\n", f", image=image{options}"
    options += f", model={call.model!r}" if call.model else ""
    return (
        "from napari_unet.workflows import read_image, read_labels, track\n\n"
        f"labels = read_labels({call.labels or _LABELS!r}, {call.axes!r})\n{reading}"
        f"tracks = track(labels{options})\n"
    )


def _changed(spec: LinkSpec) -> dict[str, object]:
    return spec.model_dump(exclude_defaults=True, exclude=_DECIDED)


class TrackCopies(QWidget):
    """Two buttons that put the call on the clipboard that repeats a tracking.

    Parameters
    ----------
    ask : callable
        Returns the tracking as it is set up now.
    """

    said = Signal(str)
    failed = Signal(object)  # a UNetError

    def __init__(self, ask: Callable[[], TrackCall]) -> None:
        super().__init__()
        self._ask = ask
        self.command = button("Copy as command", "The same tracking for a terminal.", self.copy_command)
        self.python = button("Copy as Python", "The same tracking for a script.", self.copy_python)
        layout = row((self.command, 1), (self.python, 1))
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)

    def copy_command(self) -> None:
        """Put the shell command on the clipboard."""
        self._copy(as_command)

    def copy_python(self) -> None:
        """Put the Python code on the clipboard."""
        self._copy(as_python)

    def _copy(self, write: Callable[[TrackCall], str]) -> None:
        try:
            call = self._ask()
        except UNetError as error:
            self.failed.emit(error)
            return
        copy(write(call))
        missing = [name for name, path in ((_LABELS, call.labels), (_IMAGE, call.image)) if path is None]
        self.said.emit("Copied." + f" Put your files in the place of {' and '.join(missing)}." * bool(missing))
