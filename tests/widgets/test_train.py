"""The training dock: what is chosen is looked at, a training is watched, stopped, gone on with, and its model used."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError, SpecError, TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import Epoch, Plan
from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets import _curves
from napari_unet.widgets._before import Before, Origin, origin_of, remember
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget

from .conftest import FakeEngine

Make = Callable[..., TrainWidget]


class Trainer(FakeEngine):
    """Learns at once: three reports, each with a picture, and the preview filled with the number of the report."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.models = ["nuclei"]
        self.given: list[tuple[Any, TrainSpec, Image | None]] = []
        self.plans: list[tuple[Any, TrainSpec]] = []
        self.wrong: Exception | None = None
        self.deaf: Exception | None = None
        self.begun = threading.Event()
        self.collections: list[Any] = []
        self.held: list[tuple[Path, bool]] = []
        self.finished: list[Path] = []
        self.drawn: list[tuple[int, bool]] = []
        self.collected: list[tuple[Any, ...]] = []
        self.exported: list[tuple[Any, ...]] = []

    def list_models(self) -> list[ModelCard]:
        return [
            ModelCard(name=n, net=NetSpec(inputs=3), target=TargetSpec(), channels=(1, 3)) for n in sorted(self.models)
        ]

    def list_collections(self) -> list[Any]:
        return self.collections

    def locate_model(self, name: str) -> Any:
        from napari_unet.workflows import ModelPlace

        return ModelPlace(self.folder / name, 1000, False)

    def training_folder(self, name: str) -> Path:
        return self.folder / f"{name}.training"

    def training_curve(self, folder: Path | None) -> list[Epoch]:
        return workflows.training_curve(folder)

    def unfinished_training(self, folder: Path) -> tuple[TrainSpec, Path]:
        name = folder.name.removesuffix(".training")
        return TrainSpec(name=name), self.folder / name

    def hold_training(self, folder: Path, hold: bool = True) -> None:
        self._check()
        self.held.append((folder, hold))

    def finish_training(self, folder: Path) -> None:
        self._check()
        self.finished.append(folder)

    def _check(self) -> None:
        if self.deaf is not None:
            raise self.deaf

    def collect_steps(self, image: Image, labels: Image, before: Image, model: str, name: str = "") -> Steps[Any]:
        from napari_unet.workflows import Collection

        yield Progress(0, 0, "Keeping")
        self.collected.append((image, labels, before, model))
        found = Collection(self.folder / "my-nuclei.corrections", "my-nuclei", 1, 1, 1)
        self.collections = [found]
        return found

    def export_model_steps(self, name: str, path: Path, form: str, overwrite: bool = False) -> Steps[Path]:
        yield Progress(0, 0, "Writing")
        self.exported.append((name, path, form, overwrite))
        return path

    def plan_steps(self, data: Path | Sequence[Example], spec: TrainSpec) -> Steps[Plan]:
        yield Progress(0, 0, "Measuring objects")
        if self.wrong is not None:
            raise self.wrong
        self.plans.append((data, spec))
        return Plan(spec, ("3 images of 64 × 64 pixels.", "Objects are 9 pixels wide."), ("Few objects.",), {})

    def preview_patches_steps(self, data: Any, spec: TrainSpec, count: int) -> Steps[Any]:
        yield Progress(0, 0, "Reading")
        self.drawn.append((spec.seed, threading.current_thread() is threading.main_thread()))
        patch = np.full((1, 32, 32), 0.1 * (spec.seed + 1), np.float32)
        labels = np.zeros((32, 32), np.int32)
        labels[8:20, 8:20], labels[24:] = 1, -1
        return [(Image(patch, "cyx"), Image(labels, "yx"))] * count

    def train_apart_steps(
        self, data: Any, spec: TrainSpec, folder: Path | None = None, preview: Image | None = None
    ) -> Steps[Path]:
        self.given.append((data, spec, preview))
        self.closed.clear()
        run = self.training_folder(spec.name)
        run.mkdir(exist_ok=True)
        (run / "last.pt").touch()
        try:
            yield Progress(0, 3, "starting")
            for i in range(3):
                self.begun.set()
                self.go.wait(10)
                yield Progress(i + 1, 3, f"step {i}", self.report(i, preview), "Going on." if i == 1 else "")
            (run / "last.pt").unlink()
            self.models.append(spec.name)
            return self.folder / spec.name
        finally:
            self.closed.set()

    def report(self, i: int, preview: Image | None) -> Epoch:
        picture = self.folder / f"{i}.npz"
        shown = np.random.default_rng(i).random((64, 64))
        np.savez(picture, image=shown, truth=shown > 0.5, labels=shown > 0.6)
        found = self.folder / f"{i}.npy"
        if preview is not None:
            np.save(found, np.full(preview.along(preview.label_axes)[0], i + 1, np.int32))
        validation = {"loss": 1.0 / (i + 1), "AP50": 0.5 + 0.1 * i}
        return Epoch(
            100 * i, 1.0 / (i + 1), 1e-3, 60.0 * i, validation, (picture,), True, found if preview is not None else None
        )


@pytest.fixture
def viewer() -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    """Return an engine that has learned at once."""
    return Trainer(tmp_path)


@pytest.fixture
def make(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, trainer: Trainer) -> Make:
    """Return a function that opens the dock."""
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)

    def build(viewer: Any, engine: Any = trainer) -> TrainWidget:
        widget = TrainWidget(viewer, engine=engine)
        qtbot.addWidget(widget)
        widget.errors = errors
        return widget

    return build


def draw(viewer: ViewerModel, name: str = "field", shape: tuple[int, ...] = (64, 64), **options: Any) -> Any:
    """Add an image and its labels."""
    image = viewer.add_image(np.random.default_rng(0).random(shape).astype(np.float32), name=name, **options)
    labels = np.zeros(shape[:2] if options.get("rgb") else shape, np.int32)
    labels[..., 10:20, 10:20] = 1
    return image, viewer.add_labels(labels, name=f"{name} cells")


def planned(qtbot: QtBot, widget: TrainWidget) -> Plan:
    qtbot.waitUntil(lambda: widget.plan.plan is not None)
    assert widget.plan.plan is not None
    return widget.plan.plan


def test_the_kind_of_model_and_its_classes_are_chosen(
    make: Make, trainer: Trainer, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = ViewerModel()
    draw(viewer)
    widget = make(viewer)
    kind = widget.kind
    assert kind.tasks.currentText() == "Cells and nuclei"
    assert kind.classes.isHidden()
    assert widget.spec().task == "cell"
    kind.tasks.setCurrentIndex(kind.tasks.findData("satellite"))
    assert not kind.classes.isHidden()
    assert "vegetation" in kind.classes.placeholderText()
    planned(qtbot, widget)
    assert trainer.plans[-1][1].start == ""  # a model of cells is no start for land cover
    assert widget.spec().task == "satellite"
    assert widget.spec().target is None  # the task's own
    assert widget.plan.changes() == {}  # other defaults are no wishes
    kind.classes.setText("road, grass,roof")
    spec = widget.spec()
    assert spec.target is not None
    assert spec.target.classes == ("road", "grass", "roof")
    assert spec.target.background is False  # as the task has it
    kind.classes.setText("road, road")
    widget.run()
    assert widget.job is None
    assert "name of its own" in widget.status.text()
    kind.classes.setText("road")
    widget.begin_with.choose("nuclei")
    assert widget.spec().target is None  # which has classes of its own, or none


def test_the_first_sensible_pair_is_filled_in_and_the_plan_is_told(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    viewer.add_image(np.zeros((30, 30)), name="other")
    image, labels = draw(viewer)
    widget = make(viewer)
    pair = widget.data.pairs.rows[0]
    assert pair.image.layer is image
    assert pair.labels.layer is labels
    planned(qtbot, widget)
    assert "9 pixels wide" in widget.plan.text.text()
    assert "Few objects" in widget.plan.warnings.text()
    (example,), spec = trainer.plans[-1]
    assert example.labels.data is labels.data
    assert (spec.start, spec.minutes, spec.truth, spec.validation) == ("nuclei", 10, "all", 0.2)


def test_layers_that_come_later_fill_the_empty_row(make: Make, viewer: ViewerModel) -> None:
    widget = make(viewer)
    assert "Choose an image" in widget.data.pairs.rows[0].trouble.text()
    image, _labels = draw(viewer)
    assert widget.data.pairs.rows[0].image.layer is image
    assert not widget.data.pairs.rows[0].trouble.text()


def test_pairs_are_added_and_taken_out(make: Make, viewer: ViewerModel) -> None:
    pairs = [draw(viewer, f"field {i}") for i in range(3)]
    widget = make(viewer)
    for _ in range(2):
        widget.data.pairs.add()
    found = [(row.image.layer, row.labels.layer) for row in widget.data.pairs.rows]
    assert sorted(found, key=str) == sorted(pairs, key=str)
    widget.data.pairs.take(widget.data.pairs.rows[1])
    assert len(widget.data.read()) == 2


def test_a_training_is_watched_to_its_end(make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer) -> None:
    draw(viewer, scale=(0.5, 0.5), translate=(3, 4))
    widget = make(viewer)
    widget.begin_with.name.setText("mine")
    planned(qtbot, widget)
    active = viewer.layers.selection.active
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    assert not widget.errors
    assert widget.status.text() == "Done: 'mine' is in the lists of models."
    np.testing.assert_allclose(widget.live.curves.points["AP50"], [(0, 0.5), (1, 0.6), (2, 0.7)])
    assert "Going on." in widget.lines.text()
    assert "AP50 0.700" in widget.live.curves.text.text()
    assert not widget.live.gallery.cells[0][2].pixmap().isNull()
    assert not widget.plan.isHidden()
    qtbot.waitUntil(lambda: "mine preview" in viewer.layers)
    layer = viewer.layers["mine preview"]
    assert np.unique(layer.data).tolist() == [3]
    np.testing.assert_allclose(layer.extent.world, viewer.layers["field"].extent.world)
    assert viewer.layers.selection.active is active
    assert widget.after.card.title.text() == "mine"
    assert widget.begin_with.values["name"] == "mine-2"
    assert widget.begin_with.start.findData("mine") >= 0


def test_pause_stop_and_resume(make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer) -> None:
    draw(viewer)
    widget = make(viewer)
    assert not widget.pause.isEnabled()
    trainer.go.clear()
    widget.run()
    qtbot.waitUntil(trainer.begun.is_set)
    assert widget.pause.text() == "Pause"
    assert not widget.data.isEnabled()
    assert widget.plan.isHidden()  # curves stand there
    widget.pause.click()
    assert trainer.held == [(trainer.folder / "my-cells.training", True)]
    assert widget.pause.text() == "Resume"
    widget.pause.click()
    assert trainer.held[-1][1] is False
    assert widget.pause.text() == "Pause"
    widget.stop.click()
    assert "Resume goes on" in widget.status.text()
    trainer.go.set()
    qtbot.waitUntil(trainer.closed.is_set)
    assert widget.pause.text() == "Resume"
    assert widget.data.isEnabled()
    qtbot.waitUntil(lambda: widget.plan.plan is not None)
    widget.pause.click()
    qtbot.waitUntil(lambda: widget.job is None)
    assert "Done" in widget.status.text()
    assert trainer.given[1][0] == trainer.folder / "my-cells.training"
    assert not widget.pause.isEnabled()


def test_finish_now_ends_a_training_that_runs_or_was_stopped(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    draw(viewer)
    widget = make(viewer)
    run = trainer.folder / "my-cells.training"
    assert not widget.steer.finish.isEnabled()
    trainer.go.clear()
    widget.run()
    qtbot.waitUntil(trainer.begun.is_set)
    widget.steer.finish.click()
    assert trainer.finished == [run]
    assert widget.steer.finish.text() == "Finishing …"
    assert not widget.pause.isEnabled()
    widget.stop.click()
    trainer.go.set()
    qtbot.waitUntil(trainer.closed.is_set)
    assert widget.steer.finish.text() == "Finish now"
    qtbot.waitUntil(lambda: widget.plan.plan is not None)
    widget.steer.finish.click()
    qtbot.waitUntil(lambda: widget.job is None)
    assert trainer.finished == [run, run]
    assert "Done" in widget.status.text()
    assert trainer.given[-1][0] == run
    assert not widget.steer.finish.isEnabled()


def test_a_wish_that_is_not_heard_is_not_shown_as_granted(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    draw(viewer)
    widget = make(viewer)
    trainer.go.clear()
    widget.run()
    qtbot.waitUntil(trainer.begun.is_set)
    for deaf, words in ((SpecError("no run"), "only just begun"), (OutputError("The disk is full."), "disk is full")):
        trainer.deaf = deaf
        for each, text in ((widget.pause, "Pause"), (widget.steer.finish, "Finish now")):
            widget.errors.clear()
            each.click()
            (said,) = widget.errors
            assert words in said
            assert (each.text(), each.isEnabled()) == (text, True)
    trainer.deaf = None
    widget.pause.click()
    assert trainer.held == [(trainer.folder / "my-cells.training", True)]
    trainer.go.set()
    qtbot.waitUntil(lambda: widget.job is None)


def test_a_run_of_another_day_can_be_gone_on_with(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    draw(viewer)
    widget = make(viewer)
    run = trainer.folder / "older.training"
    run.mkdir()
    (run / "last.pt").touch()
    (run / "log.csv").write_text("step,seconds,loss,rate,validation AP50\n10,6,0.9,0.1,\n20,12,0.8,0.1,0.25\n")
    widget.begin_with.name.setText("older")
    qtbot.waitUntil(widget.pause.isEnabled)
    assert widget.pause.text() == "Resume"
    widget.run()
    assert widget.job is None
    assert "press Resume" in widget.status.text()
    widget.pause.click()
    qtbot.waitUntil(lambda: widget.job is None)
    assert trainer.given[-1][0] == run
    assert trainer.given[-1][2] is not None  # what is seen is looked at
    curves = widget.live.curves.points
    assert curves["loss"][:2] == [(0.1, 0.9), (0.2, 0.8)]  # the curve begins where the training did
    assert curves["AP50"][0] == (0.2, 0.25)
    assert len(curves["loss"]) == 5


def test_varied_patches_are_drawn_when_somebody_wants_to_see_them(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    draw(viewer)
    widget = make(viewer)
    box = widget.plan.patches
    planned(qtbot, widget)
    assert trainer.drawn == []
    box.fold.title.click()
    qtbot.waitUntil(lambda: len(box.cells) == 9)
    assert trainer.drawn == [(0, False)]

    def colors() -> set[str]:
        image = box.cells[0].pixmap().toImage()
        return {image.pixelColor(x, y).name() for x, y in ((48, 10), (48, 90), (25, 40))}

    first = colors()
    assert "#191919" in first  # the patch
    assert "#080808" in first  # what nobody knows is darker
    assert len(first) == 3  # an outline
    box.more.click()
    qtbot.waitUntil(lambda: len(trainer.drawn) == 2 and box._job is None)
    assert trainer.drawn[-1] == (1, False)
    assert "#333333" in colors()
    # Other settings, other patches; what cannot be planned cannot be drawn.
    widget.plan.form.fields["augment.noise"].value = "0.9"
    qtbot.waitUntil(lambda: len(trainer.drawn) == 3)
    trainer.wrong = TrainingDataError("None of it fits.")
    widget.look()
    qtbot.waitUntil(lambda: "None of it fits" in widget.plan.warnings.text())
    box.more.click()
    assert "nothing to draw from" in box.text.text()
    assert len(trainer.drawn) == 3


BAD = {
    "other shape": (lambda v: v.add_labels(np.ones((9, 9), int), name="small"), "9 × 9 pixels"),
    "empty": (lambda v: v.add_labels(np.zeros((64, 64), int), name="none"), "is empty"),
    "other dimensions": (lambda v: v.add_labels(np.ones((2, 2, 64, 64), int), name="deep"), "has 4 dimensions"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said_where_it_was_chosen(
    make: Make, viewer: ViewerModel, trainer: Trainer, case: str
) -> None:
    add, text = BAD[case]
    image = viewer.add_image(np.zeros((64, 64)), name="field")
    labels = add(viewer)
    widget = make(viewer)
    pair = widget.data.pairs.rows[0]
    pair.image.choose(image)
    pair.labels.choose(labels)
    assert text in pair.trouble.text()
    assert not pair.trouble.isHidden()
    widget.run()
    assert widget.job is None
    assert text in widget.status.text()
    assert not trainer.given


def test_what_is_drawn_later_is_seen_once_the_brush_rests(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    _, labels = draw(viewer)
    labels.data = np.zeros((64, 64), np.int32)
    widget = make(viewer)
    start = widget.begin_with.start
    start.setCurrentIndex(start.findData(""))
    pair = widget.data.pairs.rows[0]
    assert "is empty" in pair.trouble.text()
    widget.look()
    assert widget.begin_with.values["start"] == "nuclei"  # what fits the image, before there are labels
    labels.paint((20, 20), 1)
    assert "is empty" in pair.trouble.text()  # not at every stroke
    qtbot.waitUntil(pair.trouble.isHidden)
    planned(qtbot, widget)
    other = viewer.add_labels(np.zeros((64, 64), np.int32), name="other")
    pair.labels.choose(other)
    labels.data = np.zeros((64, 64), np.int32)  # nobody listens to it any more
    other.paint((20, 20), 1)
    qtbot.waitUntil(pair.trouble.isHidden)
    planned(qtbot, widget)


def test_what_the_engine_finds_wrong_is_said_in_the_plan(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer
) -> None:
    trainer.wrong = TrainingDataError("The labels are a picture, not numbers.")
    draw(viewer)
    widget = make(viewer)
    qtbot.waitUntil(lambda: "a picture" in widget.plan.warnings.text())


@pytest.mark.parametrize(("name", "text"), [("nuclei", "already"), ("a/b", "cannot be the name"), (" ", "Give")])
def test_a_name_that_cannot_be_is_said_at_once(make: Make, viewer: ViewerModel, name: str, text: str) -> None:
    draw(viewer)
    widget = make(viewer)
    widget.begin_with.name.setText(name)
    assert text in widget.begin_with.trouble.text()
    widget.run()
    assert widget.job is None
    assert text in widget.status.text()


def test_truth_inside_shapes_is_brought_to_each_image(make: Make, viewer: ViewerModel) -> None:
    draw(viewer, "left")
    _image, _ = draw(viewer, "right", translate=(0, 100), scale=(0.5, 0.5))
    widget = make(viewer)
    widget.data.pairs.add()
    widget.data.truth.setCurrentIndex(1)
    with pytest.raises(TrainingDataError, match="Choose the Shapes layer"):
        widget.data.read()
    box = np.array([[10, 10], [10, 20], [20, 20], [20, 10]])
    shapes = viewer.add_shapes([box, np.add(box, (0, 100))], shape_type="rectangle", name="known")
    widget.data.shapes.choose(shapes)
    found = {e.image.name: e.region for e in widget.data.read()}
    assert found["left"] == ((tuple(map(tuple, box.tolist()))),)
    assert found["right"] == ((tuple(map(tuple, (2 * box).tolist()))),)
    assert widget.data.rules["truth"] == "regions"


def test_shapes_of_a_movie_count_in_the_frame_in_which_they_were_drawn(make: Make, viewer: ViewerModel) -> None:
    movie = np.random.default_rng(0).integers(0, 99, (3, 5, 40, 50)).astype(np.uint8)  # channels, then time
    labels = np.zeros((5, 40, 50), np.int32)
    labels[1, 5:15, 5:15], labels[4, 5:15, 5:15] = 1, 2
    image = viewer.add_image(movie, name="movie", axis_labels=("c", "t", "y", "x"), scale=(1, 2, 0.5, 0.5))
    viewer.add_labels(labels, name="cells", axis_labels=("t", "y", "x"), scale=(2, 0.5, 0.5))
    box = np.array([[10, 10], [10, 20], [20, 20], [20, 10]])
    drawn = [np.insert(2 * box, 0, at, axis=1) for at in (4, 1, 1, 9)]
    drawn[2] = drawn[2] + (0, 6, 0)
    widget = make(viewer)
    widget.data.truth.setCurrentIndex(1)
    shapes = viewer.add_shapes(drawn, shape_type="rectangle", scale=(2, 0.25, 0.25), name="known")
    widget.data.shapes.choose(shapes)
    first, last = widget.data.read()
    assert [len(e.region or ()) for e in (first, last)] == [2, 1]
    assert first.region == (tuple(map(tuple, box.tolist())), tuple(map(tuple, np.add(box, (3, 0)).tolist())))
    for example, at in ((first, 1), (last, 4)):
        assert isinstance(example.image, Image)
        assert isinstance(example.labels, Image)
        assert (example.image.axes, example.labels.axes, example.group) == ("cyx", "yx", "movie")
        assert example.image.scale == (1, 0.5, 0.5)
        np.testing.assert_array_equal(example.image.data, movie[:, at])
        np.testing.assert_array_equal(example.labels.data, labels[at])
    # Shapes that know no time count in all frames.
    flat = viewer.add_shapes([box], shape_type="rectangle", scale=(0.5, 0.5), name="flat")
    widget.data.shapes.choose(flat)
    (whole,) = widget.data.read()
    assert isinstance(whole.image, Image)
    assert (whole.image.axes, whole.region) == ("ctyx", (tuple(map(tuple, box.tolist())),))
    assert image in viewer.layers


def test_scribbles_and_ticks(make: Make, viewer: ViewerModel) -> None:
    draw(viewer, "a")
    draw(viewer, "b")
    widget = make(viewer)
    widget.data.pairs.add()
    widget.data.truth.setCurrentIndex(2)
    widget.data.background.setValue(7)
    widget.data.check.setCurrentIndex(1)
    with pytest.raises(TrainingDataError, match="Tick"):
        widget.data.read()
    widget.data.pairs.rows[1].held.setChecked(True)
    found = widget.data.read()
    assert [(e.scribbles, e.background, e.held_out) for e in found] == [(True, 7, False), (True, 7, True)]
    assert widget.data.rules == {"truth": "scribbles", "validation": 0.0}


def test_only_what_was_changed_is_not_left_to_the_plan(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    draw(viewer)
    widget = make(viewer)
    assert set(widget.spec().model_fields_set) <= {
        "task", "name", "start", "minutes", "license", "truth", "validation", "steps"
    }  # fmt: skip
    widget.plan.form.fields["batch"].value = 4
    widget.plan.form.fields["augment.elastic"].value = "3"
    spec = widget.spec()
    assert spec.batch == 4
    assert spec.augment.elastic == 3
    assert spec.augment.model_fields_set - load_task("cell").augment.model_fields_set == {"elastic"}
    planned(qtbot, widget)
    widget.plan.form.fields["rate"].value = "fast"
    qtbot.waitUntil(lambda: "rate" in widget.plan.text.text())


def test_what_is_written_counts_and_what_is_planned_is_shown(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    draw(viewer)
    widget = make(viewer)
    fields = widget.plan.form.fields
    planned(qtbot, widget)
    assert [fields[name].native.placeholderText() for name in ("batch", "rate")] == [
        "8, as planned",
        "0.02, as planned",
    ]
    usual = TrainSpec()
    for name in ("batch", "patch", "rate", "warmup", "frozen"):
        fields[name].value = str(getattr(usual, name))
    spec = widget.spec()
    assert {"batch", "patch", "rate", "warmup", "frozen"} <= spec.model_fields_set
    assert (spec.batch, spec.rate, spec.minutes) == (usual.batch, usual.rate, 10)
    fields["steps"].value = "500"
    assert (widget.spec().steps, widget.spec().minutes) == (500, None)
    widget.kind.tasks.setCurrentIndex(widget.kind.tasks.findData("organ"))
    assert not {"batch", "rate"} & widget.spec().model_fields_set
    assert widget.spec().minutes == 10


def test_a_model_that_does_not_fit_is_not_started_from(make: Make, viewer: ViewerModel, qtbot: QtBot) -> None:
    draw(viewer, shape=(64, 64, 3), rgb=True)
    widget = make(viewer)
    planned(qtbot, widget)
    assert widget.begin_with.values["start"] == "nuclei"
    viewer.layers.clear()
    draw(viewer, shape=(2, 64, 64), axis_labels=("c", "y", "x"))
    viewer.layers[-1].data = viewer.layers[-1].data[0]
    widget.data.pairs.fill()
    widget.look()
    assert widget.begin_with.values["start"] == ""


def test_without_the_library_that_draws_there_are_words(
    make: Make, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_curves, "find_spec", lambda _: None)
    draw(viewer)
    widget = make(viewer)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    assert "Loss 0.333, AP50 0.700" in widget.live.curves.text.text()
    assert not widget.live.curves._plots


def segmented(qtbot: QtBot, viewer: ViewerModel, engine: Any) -> Any:
    """Segment the first image and return the new layer."""
    dock = SegmentWidget(viewer, engine=engine)
    qtbot.addWidget(dock)
    dock.run()
    qtbot.waitUntil(lambda: dock.job is None)
    return viewer.layers[-1]


@pytest.mark.parametrize("case", ["2D", "channels", "RGB"])
def test_corrections_are_kept_with_what_the_labels_were_before(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer, case: str
) -> None:
    shape, options = {
        "2D": ((40, 50), {}),
        "channels": ((2, 3, 40, 50), {"axis_labels": ("t", "c", "y", "x")}),
        "RGB": ((40, 50, 3), {"rgb": True}),
    }[case]
    image = viewer.add_image(np.zeros(shape, np.uint8), name="field", **options)
    widget = make(viewer)
    assert widget.grow.isHidden()
    layer = segmented(qtbot, viewer, trainer)
    assert not widget.grow.isHidden()
    before = np.asarray(layer.data).copy()
    layer.data[..., 3:9, 3:9] = 7
    widget.grow.add.click()
    qtbot.waitUntil(lambda: widget.job is None)
    assert not widget.errors
    ((given, after, known, model),) = trainer.collected
    assert given.data is image.data
    index = (slice(None), 0) if case == "channels" else ()
    np.testing.assert_array_equal(after.data, np.asarray(layer.data)[index])
    np.testing.assert_array_equal(known.data, before[index])
    assert model == "nuclei"
    assert widget.data.source.currentData() == "kept"
    assert widget.data.read() == trainer.folder / "my-nuclei.corrections" / "data.csv"
    assert widget.spec().start == "nuclei"
    assert widget.spec().name == "my-nuclei"
    assert "1 place in 1 image" in widget.status.text()
    widget.grow.add.click()
    qtbot.waitUntil(lambda: widget.job is None)
    np.testing.assert_array_equal(trainer.collected[1][2].data, after.data)  # what comes next counts by itself


def test_where_labels_come_from_is_known_for_as_long_as_they_are_there(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((8, 8)))
    seen = PublicOnlyProxy(viewer)  # as a dock gets it: each look makes another wrapper
    image = seen.layers[0]
    layer = seen.add_labels(np.zeros((8, 8), np.int32))
    assert type(layer) is type(image) is PublicOnlyProxy
    remember(layer, Origin(Before.pack(np.zeros((8, 8), np.int32)), ref(image), "yx", "nuclei"))
    del image, layer
    gc.collect()
    found = origin_of(viewer.layers[1])
    assert found is not None
    assert found.source() is viewer.layers[0]


def test_a_model_is_tried_and_exported(
    make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = draw(viewer)
    widget = make(viewer)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None)
    dock = SegmentWidget(viewer, engine=trainer)
    qtbot.addWidget(dock)
    asked: list[tuple[str, str]] = []

    class Window:
        def add_plugin_dock_widget(self, plugin: str, name: str, tabify: bool) -> tuple[None, Any]:
            asked.append((plugin, name))
            return None, dock

    viewer.__dict__["window"] = Window()
    viewer.layers.selection.active = image
    widget.after.attempt.click()
    qtbot.waitUntil(lambda: dock.job is None)
    assert asked == [("napari-unet-suite", "Segment cells and nuclei")]
    assert trainer.spec is not None
    assert trainer.spec.model == "my-cells"
    place = str(trainer.folder / "out.zip")
    monkeypatch.setattr("napari_unet.widgets._after.QFileDialog.getSaveFileName", lambda *_: (place, ""))
    widget.after.export.click()
    qtbot.waitUntil(lambda: widget.job is None)
    assert trainer.exported == [("my-cells", Path(place), "bioimageio", True)]
    assert widget.status.text() == f"Wrote {place}."


def test_closing_the_dock_stops_the_training(make: Make, viewer: ViewerModel, qtbot: QtBot, trainer: Trainer) -> None:
    draw(viewer)
    widget = make(viewer)
    trainer.go.clear()
    widget.run()
    qtbot.waitUntil(trainer.begun.is_set)
    widget.cancel()
    trainer.go.set()
    qtbot.waitUntil(trainer.closed.is_set)
    assert "mine" not in trainer.models
    time.sleep(0)
