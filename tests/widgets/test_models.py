"""The dock that looks after the models: what it shows, and that every job ends cleanly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_unet import workflows
from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets import models
from napari_unet.widgets._card import scores
from napari_unet.widgets._news import NEWS
from napari_unet.widgets.models import ModelsWidget
from napari_unet.widgets.segment import SegmentWidget


def card(name: str, **known: Any) -> ModelCard:
    return ModelCard(name=name, net=NetSpec(), target=TargetSpec(), sha256=64 * "a", **known)


class Shelf:
    """An engine with a bundled model, one of the user's own and a damaged one."""

    def __init__(self) -> None:
        self.cards = {
            "nuclei": card(
                "nuclei", title="Nuclei", data="BBBC", license="CC0", channels=(1, 3), metrics={"a_<b>": {"AP50": 0.5}}
            ),
            "mine": card("mine"),
        }
        self.damaged = {"broken": "The card <b>cannot</b> be used."}
        self.error: Exception | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.threads: set[threading.Thread] = set()
        self.go, self.closed = threading.Event(), threading.Event()
        self.go.set()

    def list_models(self) -> list[ModelCard]:
        return list(self.cards.values())

    def list_damaged(self) -> list[tuple[str, str]]:
        return list(self.damaged.items())

    def locate_model(self, name: str) -> workflows.ModelPlace:
        if name not in self.cards | self.damaged:
            raise ModelError(f"There is no model called '{name}'.")
        return workflows.ModelPlace(Path("/shelf") / name, 2_500_000, name == "nuclei")

    def _work(self, *call: Any) -> Steps[None]:
        self.threads.add(threading.current_thread())
        try:
            yield Progress(0, 2, "Reading the model")
            self.go.wait(10)
            if self.error is not None:
                raise self.error
            yield Progress(1, 2, "Checked")
            self.calls.append(call)
        finally:
            self.closed.set()

    def add_model_steps(self, path: Path, **options: Any) -> Steps[ModelCard]:
        yield from self._work("add", path, options)
        name = options["name"] or path.stem
        self.cards[name] = card(name)
        return self.cards[name]

    def export_model_steps(self, name: str, file: Path, form: str, overwrite: bool) -> Steps[Path]:
        yield from self._work("export", name, file, form, overwrite)
        return file

    def remove_model(self, name: str) -> None:
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error
        del (self.cards if name in self.cards else self.damaged)[name]


@pytest.fixture
def shelf() -> Shelf:
    """Return an engine that is done at once."""
    return Shelf()


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], ModelsWidget]:
    """Return a function that opens the dock and remembers the notifications."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(engine: Any) -> ModelsWidget:
        widget = ModelsWidget(ViewerModel(), engine=engine)
        qtbot.addWidget(widget)
        widget.errors = errors
        return widget

    return build


@pytest.fixture
def widget(make: Callable[[Any], ModelsWidget], shelf: Shelf) -> ModelsWidget:
    """Return the dock."""
    return make(shelf)


def finish(qtbot: QtBot, widget: ModelsWidget) -> None:
    assert widget.job is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.job is None)


def shown(widget: ModelsWidget) -> list[str]:
    return [widget.models.item(i).text() for i in range(widget.models.count())]


def rows(widget: ModelsWidget) -> dict[str, str]:
    return {name: label.text() for name, label in widget.card.rows.items() if not label.isHidden()}


def test_cards_are_shown(widget: ModelsWidget) -> None:
    assert shown(widget) == ["Nuclei", "mine", "broken (damaged)"]
    assert widget.card.title.text() == "Nuclei"
    assert rows(widget) == {
        "For": "cell", "Network": "2D, unet", "Channels": "1 or 3", "Object widths": "8 to 120 pixels",
        "License": "CC0", "Trained on": "BBBC", "Size": "2.5 MB", "Belongs to": "this program", "sha256": 12 * "a",
    }  # fmt: skip
    assert "0.500" in widget.card.scores.text()
    widget.choose("mine")
    assert widget.card.title.text() == "mine"
    assert (rows(widget)["Belongs to"], rows(widget)["License"]) == ("you", "not stated")
    assert not widget.card.scores.text()


def test_the_folder_opens(widget: ModelsWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    widget.choose("mine")
    widget.card.folder.click()
    assert [Path(url.toLocalFile()) for url in opened] == [Path("/shelf/mine")]


def test_a_bundled_model_stays(widget: ModelsWidget) -> None:
    assert not widget.delete.isEnabled()
    assert "belongs to the program" in widget.delete.toolTip()
    assert widget.export.isEnabled()
    widget.choose("mine")
    assert widget.delete.isEnabled()
    assert "belongs" not in widget.delete.toolTip()


def test_a_damaged_model_says_why_and_can_only_go(widget: ModelsWidget) -> None:
    widget.choose("broken")
    assert widget.card.text.text() == "The card <b>cannot</b> be used."
    assert widget.card.text.textFormat() == Qt.TextFormat.PlainText
    assert rows(widget) == {"Size": "2.5 MB"}
    assert widget.delete.isEnabled()
    assert not widget.export.isEnabled()


def test_words_of_a_stranger_are_no_markup() -> None:
    found = scores(card("x", metrics={"<img src='file:///x'>": {"AP50": 0.5}, "b": {"odd&": 1.0}}))
    assert "<img" not in found
    assert "&lt;img" in found
    assert "odd&amp;" in scores(card("x", metrics={"b": {"odd&": 1.0}}))


def test_add(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path) -> None:
    heard: list[None] = []
    NEWS.models.connect(hear := lambda: heard.append(None))
    widget.options.name.setText(" theirs ")
    widget.options.target.setCurrentText("distance")
    widget.options.trust.setChecked(True)
    widget.options.replace.setChecked(True)
    widget.add(tmp_path / "new.zip")
    assert not widget.delete.isEnabled()
    assert not widget.export.isEnabled()
    finish(qtbot, widget)
    NEWS.models.disconnect(hear)
    options = {"name": "theirs", "target": "distance", "consent": True, "overwrite": True}
    assert shelf.calls == [("add", tmp_path / "new.zip", options)]
    assert threading.main_thread() not in shelf.threads
    assert "theirs" in shown(widget)
    assert widget.chosen == "theirs"
    assert heard == [None]
    assert widget.status.text() == "Added 'theirs'."
    none = {"name": None, "target": None, "consent": False, "overwrite": False}
    assert widget.options.values() == none  # trust in one file is no trust in the next


def test_errors_are_said_in_words(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path) -> None:
    shelf.error = ModelError("This file is no model. Choose another.")
    widget.options.name.setText("theirs")
    widget.add(tmp_path / "new.zip")
    finish(qtbot, widget)
    assert widget.status.text() == "This file is no model. Choose another."
    assert widget.errors == [widget.status.text()]
    assert shown(widget) == ["Nuclei", "mine", "broken (damaged)"]
    assert widget.options.name.text() == "theirs"  # to try again
    assert widget.start.isEnabled()


def test_cancel_leaves_nothing(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path) -> None:
    shelf.go.clear()
    widget.add(tmp_path / "new.zip")
    qtbot.waitUntil(lambda: "Reading the model" in widget.status.text())
    widget.add(tmp_path / "other.zip")  # one at a time
    widget.stop.click()
    assert widget.job is None
    assert widget.status.text() == "Stopped."
    shelf.go.set()
    qtbot.waitUntil(shelf.closed.is_set)
    assert not shelf.calls
    assert "new" not in shelf.cards


def test_delete_asks_first(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def question(parent: Any, title: str, text: str, buttons: Any, default: Any) -> Any:
        assert default == QMessageBox.StandardButton.No
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", question)
    widget.choose("mine")
    widget.delete.click()
    assert widget.job is None
    assert "mine" in shelf.cards
    widget.delete.click()
    finish(qtbot, widget)
    assert "mine" not in shelf.cards
    assert shown(widget) == ["Nuclei", "broken (damaged)"]
    assert len(asked) == 2
    assert "'mine'" in asked[0]
    assert threading.main_thread() not in shelf.threads
    assert widget.status.text() == "Deleted 'mine'."


@pytest.mark.parametrize("form", list(workflows.FORMATS))
def test_export(
    widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    proposed: list[str] = []

    def ask(parent: Any, title: str, name: str) -> tuple[str, str]:
        proposed.append(name)
        return str(tmp_path / name), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    widget.choose("mine")
    (action,) = [a for a in widget.export.menu().actions() if a.data() == form]
    action.trigger()
    finish(qtbot, widget)
    assert proposed == [f"mine{workflows.FORMATS[form]}"]
    assert shelf.calls == [("export", "mine", tmp_path / proposed[0], form, True)]
    assert str(tmp_path / proposed[0]) in widget.status.text()


def test_the_button_asks_for_a_file(
    widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["", str(tmp_path / "net.onnx")]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (answers.pop(0), ""))
    widget.start.click()
    assert widget.job is None
    widget.start.click()
    finish(qtbot, widget)
    assert shelf.calls[0][1] == tmp_path / "net.onnx"


def drop(widget: ModelsWidget, *paths: Path) -> tuple[bool, bool]:
    """Drag files over the dock and let go; return whether it welcomed them and whether it took them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    area, left, none = widget.models.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    drag = QDragEnterEvent(QPoint(9, 9), copy, data, left, none)
    end = QDropEvent(QPointF(9, 9), copy, data, left, none)
    for event in (drag, end):
        event.ignore()
        QApplication.sendEvent(area, event)
    return drag.isAccepted(), end.isAccepted()


@pytest.mark.filterwarnings("ignore:.*QDragEnterEvent:DeprecationWarning")  # newer Qt makes it of a QPointF
def test_drag_and_drop(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path) -> None:
    assert drop(widget, tmp_path / "a.zip", tmp_path / "b.zip") == (False, False)
    assert widget.job is None
    assert drop(widget, tmp_path / "a.zip") == (True, True)
    finish(qtbot, widget)
    assert [call[1] for call in shelf.calls] == [tmp_path / "a.zip"]


def test_docks_hear_of_each_other(
    make: Callable[[Any], ModelsWidget], shelf: Shelf, qtbot: QtBot, tmp_path: Path
) -> None:
    first, second = make(shelf), make(shelf)
    second.choose("mine")
    first.add(tmp_path / "new.zip")
    finish(qtbot, first)
    assert "new" in shown(second)
    assert second.chosen == "mine"


def test_other_docks_list_the_new_model(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot, tmp_path: Path) -> None:
    segment = SegmentWidget(ViewerModel(), engine=shelf)
    qtbot.addWidget(segment)
    segment.models.setCurrentIndex(segment.models.findData("mine"))
    widget.add(tmp_path / "new.zip")
    finish(qtbot, widget)
    assert segment.models.findData("new") >= 0
    assert segment.models.currentData() == "mine"
    widget.remove("mine")
    finish(qtbot, widget)
    assert segment.models.findData("mine") < 0
    assert segment.models.currentData() == "nuclei"


def test_what_comes_from_elsewhere_is_seen_when_shown(widget: ModelsWidget, shelf: Shelf, qtbot: QtBot) -> None:
    shelf.cards["trained"] = card("trained")
    with qtbot.waitExposed(widget):
        widget.show()
    assert "trained" in shown(widget)


def test_a_model_that_has_just_gone(widget: ModelsWidget, shelf: Shelf) -> None:
    del shelf.cards["mine"]
    widget.choose("mine")
    assert "no model called 'mine'" in widget.status.text()
    assert widget.card.isHidden()
    assert not widget.delete.isEnabled()
    assert not widget.export.isEnabled()


def test_models_that_cannot_be_listed(make: Callable[[Any], ModelsWidget], shelf: Shelf) -> None:
    def broken() -> None:
        raise ModelError("The folder of models cannot be read.")

    shelf.list_models = broken
    assert make(shelf).errors == ["The folder of models cannot be read."]


def test_every_format_has_words() -> None:
    assert list(models._FORMATS) == list(workflows.FORMATS)
