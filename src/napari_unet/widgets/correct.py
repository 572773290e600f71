"""Correct tracks in the viewer: pick cells by clicks, press a key, see the next doubt."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from napari.layers import Tracks as TracksLayer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QGridLayout, QPushButton

from napari_unet import workflows
from napari_unet.core.errors import EditError, UNetError
from napari_unet.core.linking import Detection
from napari_unet.core.results import Table, Tracks
from napari_unet.core.steps import Progress, Steps

from ._adopted import adopt, tell_missing
from ._chooser import LayerBox
from ._doubts import Queue, tell
from ._followed import Followed
from ._keys import Keys
from ._layers import layer_axes, layer_image
from ._panel import Panel
from ._parts import button, row, words
from ._picks import Picks

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["CorrectWidget"]

# Verb: key, text, cells, and what it does.
_VERBS: Final = {
    "link": ("l", "Link", 2, "The later cell is the next of the earlier one. Pick both."),
    "unlink": ("u", "Unlink", 2, "The two cells are not the same. Pick both."),
    "swap": ("x", "Swap", 2, "Two cells of one frame exchange their pasts. Pick both."),
    "split": ("s", "Split", 1, "With this cell a new track begins."),
    "merge": ("m", "Merge", 2, "Two tracks, one after the other, are one. Pick a cell of each."),
    "delete": ("Delete", "Delete", 1, "This is no cell. Its mask stays as it is."),
    "divide": ("d", "Division", 3, "The earliest cell divides into the two others. Pick all three."),
    "confirm": ("o", "Right", 2, "The link between the two cells is right: do not ask again."),
}
_SAID: Final = {"undo": "Taken back", "redo": "Done again"}


class CorrectWidget(Panel):
    """The dock that corrects.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where the layers are.
    engine : module, optional
        Has the verbs of :mod:`napari_unet.workflows`.
    """

    def __init__(self, napari_viewer: Viewer, engine: ModuleType | Any = workflows) -> None:
        super().__init__("Click cells in the viewer to pick them, then press a key.", "Find doubts")
        self.viewer, self.engine = napari_viewer, engine
        self.followed: Followed | None = None
        self.layers = LayerBox(napari_viewer, TracksLayer)
        self.picks, self.queue = Picks(napari_viewer), Queue()
        self.picked, self.saved = words(), words()
        self.form.addRow("Tracks", self.layers)
        self.tools: dict[str, QPushButton] = {}
        for verb, (key, text, _, tip) in _VERBS.items():
            self._add(verb, f"{text} ({key.title() if len(key) == 1 else 'Del'})", tip)
        self._add("undo", "Undo (Ctrl+Z)", "Take the last correction back.")
        self._add("redo", "Redo (Ctrl+Shift+Z)", "Make it again.")
        grid = QGridLayout()
        for i, made in enumerate(self.tools.values()):
            grid.addWidget(made, i // 2, i % 2)
        self.next = button("Next doubt (N)", "Go to what is most doubtful.", self.go_on)
        self.back = button("Back (B)", "Go to the doubt before.", self.go_back)
        self.again = button("Solve again", "Link anew; all corrections are kept.", self.solve)
        self.column.insertWidget(2, self.picked)
        self.column.insertLayout(3, grid)
        self.column.insertWidget(4, self.saved)
        self.column.addWidget(self.queue, 1)
        self.column.addLayout(row((self.next, 2), (self.back, 1), (self.again, 2)))
        keys = {key: partial(self.do, verb) for verb, (key, *_) in _VERBS.items()}
        keys |= {"Control-Z": partial(self.do, "undo"), "Control-Shift-Z": partial(self.do, "redo")}
        self.keys = Keys(napari_viewer, keys | {"n": self.go_on, "b": self.go_back, "Escape": self.clear})
        self.keys.take()
        self.queue.chosen.connect(self._look)
        self.layers.chosen.connect(self._layer_changed)
        self.layers.listed.connect(self._layer_changed)
        self._layer_changed()

    def _add(self, verb: str, text: str, tip: str) -> None:
        self.tools[verb] = button(text, tip, self._pressed)
        self.tools[verb].setObjectName(verb)

    def _pressed(self) -> None:
        if (pressed := self.sender()) is not None:
            self.do(pressed.objectName())

    def event(self, event: QEvent | None) -> bool:
        """Give the keys back when the dock is closed."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.keys.give_back()
                self.picks.hide()
            else:
                self.keys.take()
        return bool(super().event(event))

    def _layer_changed(self) -> None:
        found = adopt(self.viewer, self.layers.layer, self.engine)
        if found is not None and found is self.followed:
            return
        if self.followed is not None:
            self.followed.picked.disconnect(self._picked)
            self.followed.changed.disconnect(self._show)
        self.followed = found
        self.queue.clear()
        self.clear()
        if found is not None:
            found.picked.connect(self._picked)
            found.changed.connect(self._show)
        else:
            self.say(tell_missing(self.layers.layer))

    def clear(self) -> None:
        """Forget which cells are picked."""
        self.picks.cells.clear()
        self._show()

    def _picked(self, cell: Detection | None) -> None:
        if cell is not None:
            self.picks.add(cell)
            self.viewer.layers.selection.active = self.layers.layer  # so that the keys are not those of labels
            self._show()

    def _show(self) -> None:
        found = self.followed
        self.picks.show(found)
        self.picked.setText(self.picks.words() or "No cell is picked.")
        for verb, made in self.tools.items():
            steps = {} if found is None else {"undo": found.edits.done, "redo": found.edits.undone}
            enough = len(self.picks.cells) >= _VERBS[verb][2] if verb in _VERBS else bool(steps.get(verb))
            made.setEnabled(found is not None and enough)
        self.again.setEnabled(found is not None and self.job is None)
        if found is not None:
            where = f"saved at once in {found.edits.place}" if found.edits.place is not None else found.news
            self.saved.setText(f"{len(found.edits.done)} corrections, {where}")
            self.saved.setToolTip("\n".join(found.edits.done[-20:]))

    def do(self, verb: str) -> None:
        """Make a correction with the cells that were picked last; what is refused is said in the status line."""
        if (found := self.followed) is None or self.job is not None:
            return
        cells = self.picks.last(_VERBS[verb][2]) if verb in _VERBS else []
        try:
            if verb in _VERBS and len(cells) < _VERBS[verb][2]:
                raise EditError(f"Pick {_VERBS[verb][2]} cells first. {_VERBS[verb][3]}")
            self.say(f"{_SAID.get(verb, 'Done')}: {found.do(verb, *cells)}.")
        except UNetError as error:
            self.complain(error)
            return
        self.queue.forget(cells)
        self.clear()

    def go_on(self) -> None:
        """Go to the next doubt; doubts are searched for first if nobody did."""
        if not self.queue.count():
            self.run()
        self.queue.step(1)

    def go_back(self) -> None:
        """Go to the doubt before."""
        self.queue.step(-1)

    def _look(self, cells: list[Detection]) -> None:
        if (found := self.followed) is None:
            return
        self.picks.cells = [cell for cell in cells if found.row(cell) is not None]
        found.look_at(cells[-1])
        found.pick(cells[-1])

    def run(self) -> None:
        """List what may be wrong."""
        found, engine = self.followed, self.engine
        if found is None or self.job is not None:
            return

        def make() -> Steps[Table]:
            yield Progress(0, 0, "Looking for doubts")
            return engine.list_doubts(found.tracks, found.edits)  # type: ignore[no-any-return]

        self.begin(make, self.follow, self._listed)

    def _listed(self, table: Table) -> str:
        self.queue.fill(table)
        return f"{tell(table)}, the most doubtful first. Press N for the next."

    def solve(self) -> None:
        """Link anew; what was corrected is kept."""
        found, engine = self.followed, self.engine
        if found is None or self.job is not None:
            return
        try:
            labels = layer_image(found.labels, found.axes)
            image = layer_image(found.image, layer_axes(found.image)[0]) if found.image is not None else None
            spec = type(found.spec).of(**found.spec.model_dump() | {
                "fixed": found.edits.fixed, "forbidden": found.edits.forbidden, "absent": found.edits.deleted
            })  # fmt: skip
        except UNetError as error:
            self.complain(error)
            return
        self.begin(lambda: engine.track_steps(labels, spec, image, found.model), self.follow, self._solved)

    def _solved(self, tracks: Tracks) -> str:
        if self.followed is None or not self.followed.there:
            return "The layers were removed."
        count = self.followed.solve(tracks)
        self.queue.clear()
        return f"{count} links came or went; corrections are kept." if count else "Nothing else changes."
