"""Classes are named, colored and found in the masks as they are."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture
from rasterio.transform import Affine
from typer.testing import CliRunner

from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.specs import TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.io.pairs import as_examples
from napari_unet.metrics import overlap
from napari_unet.training.plan import prepare
from napari_unet.training.validate import _classed, open_example, summarize


@pytest.fixture
def tiles(tmp_path):
    """A folder of pictures whose masks hold 1, 6 and nothing."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        labels = np.zeros((64, 64), np.uint8)
        labels[:20], labels[40:] = 1, 6
        pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
        Picture.fromarray(pixels).save(tmp_path / "images" / f"{seed}.png")
        Picture.fromarray(labels).save(tmp_path / "masks" / f"{seed}.png")
    return tmp_path


def plan(*words):
    result = CliRunner().invoke(app, ["plan", *map(str, words), "--task", "satellite", "--json"])
    return result, json.loads(result.stdout) if result.exit_code == 0 else {}


def test_a_table_is_given_on_the_command_line(tiles):
    result, said = plan(tiles, "--classes", "building, road", "--class-values", "1,6", "--colors", "#ff0000,#888888")
    assert result.exit_code == 0, result.output
    spec = said["spec"]
    assert spec["target"]["classes"] == ["building", "road"]
    assert spec["target"]["colors"] == ["#ff0000", "#888888"]
    assert spec["target"]["background"] is False
    assert spec["class_values"] == [1, 6]
    again = plan(tiles, "--class-values", "road=6,building=1", "--classes", "building,road", "--background")[1]["spec"]
    assert (again["class_values"], again["target"]["background"]) == ([1, 6], True)
    assert plan(tiles, "--class-values", "building=1,road=6")[1]["spec"]["target"]["classes"] == ["building", "road"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classes", "building,road"], "labels up to 6, but classes are numbered up to 2"),
        (["--classes", "building", "--class-values", "1"], "hold the values 6, which stand for no class"),
        (["--classes", "a,b", "--class-values", "1"], "given for 1 classes, but there are 2"),
        (["--classes", "a,b", "--class-values", "a=1,6"], "name=value for all"),
        (["--classes", "a,b", "--class-values", "a=1,c=6"], "names a, c, but --classes a, b"),
        (["--classes", "a,b", "--class-values", "a=1,b=six"], "whole numbers"),
        (["--classes", "a,a"], "a name of its own"),
        (["--classes", "building=1,road=6"], "names alone. Say which value means which with --class-values building=1"),
        (["--classes", "a,b", "--colors", "#ff0000"], "give one for each"),
        (["--classes", "a,b", "--start", "nuclei"], "has classes of its own"),
    ],
)
def test_tables_that_do_not_fit_are_refused_in_words(tiles, words, said):
    result, _ = plan(tiles, *words)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def example(*values):
    labels = np.random.default_rng(0).choice(np.array(values, np.uint8), (64, 64))
    image = Image(np.random.default_rng(1).random((64, 64), np.float32), "yx", name="one")
    return Example(image, Image(labels, "yx"), held_out=False)


def prepared(*examples, **more):
    target = {"name": "classes", "classes": ["roof"]}
    return finish(prepare(examples, TrainSpec.of(**{"task": "satellite", "target": target} | more)))


def test_black_and_white_masks_need_no_values():
    made = prepared(example(0, 255))
    assert set(np.unique(made.pairs[0].labels)) == {0, 1}
    assert open_example(made.learned[0]).truth.max() == 1
    made = prepared(example(0, 255), target={"name": "classes"})
    assert made.plan.spec.target.classes == ("class 1",)
    assert set(np.unique(prepared(example(0, 1)).pairs[0].labels)) == {0, 1}


def test_classes_within_each_other_are_judged_as_regions():
    truth, found = np.random.default_rng(0).integers(0, 4, (2, 30, 30)).astype(np.int32)
    rule = TargetSpec(name="classes", classes=("whole", "core", "enhancing"), nested=True)
    expected = overlap.scores(overlap.count(truth, found, nested=True))
    told, _ = summarize([_classed(truth, found, 3, rule)])
    assert [told[f"Dice {kind}"] for kind in (1, 2, 3)] == pytest.approx([expected[f"dice_{k}"] for k in (1, 2, 3)])
    plain, _ = summarize([_classed(truth, found, 3, rule.model_copy(update={"nested": False}))])
    alone = overlap.scores(overlap.count(truth, found))
    assert [plain[f"Dice {kind}"] for kind in (1, 2, 3)] == pytest.approx([alone[f"dice_{k}"] for k in (1, 2, 3)])


def test_classes_are_counted_in_all_labels():
    usual, open_table = [example(0, 1)] * 16, {"name": "classes"}
    found = prepared(*usual, example(0, 3), target=open_table)
    assert found.plan.spec.target.classes == ("class 1", "class 2", "class 3")
    healthy = [example(0)] * 16
    assert prepared(*healthy, example(0, 255), target=open_table).plan.spec.target.classes == ("class 1",)
    with pytest.raises(TrainingDataError, match="None of the training images has a labeled object"):
        prepared(*healthy, target=open_table)


def test_other_values_are_never_guessed():
    for values in ((0, 1, 255), (0, 254), (0, 2)):
        with pytest.raises(TrainingDataError, match="labels up to"):
            prepared(example(*values))
    with pytest.raises(TrainingDataError, match="hold the values 255"):
        prepared(example(0, 1, 255), class_values=(1,))


def test_held_out_images_are_judged_by_the_same_table():
    given = [replace(example(0, 9), group="a"), replace(example(0, 9), group="b", held_out=True)]
    given[1] = replace(given[1], image=replace(given[1].image, data=given[1].image.data[::-1].copy()))
    made = prepared(*given, class_values=(9,))
    assert [each.values for each in made.held_out] == [(9,)]
    assert made.withheld[0] is given[1]
    assert open_example(made.held_out[0]).truth.max() == 1
    one = replace(example(0, 4), values=(4,), image=replace(example(0).image, data=given[1].image.data + 1))
    assert [each.values for each in prepared(given[0], one, class_values=(9,)).learned] == [(9,), (4,)]


def test_a_class_that_no_image_shows_is_named():
    labels = np.zeros((64, 64), np.uint8)
    labels[:20] = 1
    image = np.random.default_rng(0).random((64, 64), np.float32)
    target = {"name": "classes", "classes": ("road", "water", "roof"), "background": True}
    spec = TrainSpec.of(name="x", task="satellite", target=target)

    def warnings(*shown):
        given = [Example(Image(image, "yx"), Image(each, "yx", name="labels")) for each in shown]
        return finish(prepare(given, spec)).plan.warnings

    (said,) = warnings(labels, np.where(labels, 3, 0).astype(np.uint8))
    assert "'water' (2)" in said
    assert "never find it" in said
    assert not warnings(labels, np.where(labels, 3, 0).astype(np.uint8), np.where(labels, 2, 0).astype(np.uint8))


def test_strokes_of_classes_are_counted_past_the_background():
    strokes = np.zeros((64, 64), np.uint8)
    strokes[5], strokes[20], strokes[40] = 1, 2, 3
    image = np.random.default_rng(0).random((64, 64), np.float32)
    given = Example(Image(image, "yx"), Image(strokes, "yx"), scribbles=True)
    named = {"name": "classes", "classes": ["liver", "spleen"], "background": True}
    for more in ({"target": named}, {"task": "organ"}, {"target": named, "class_values": (2, 3)}):
        made = finish(prepare([given], TrainSpec.of(**{"task": "organ"} | more)))
        assert len(made.plan.spec.target.classes) == 2
        (pair,) = made.pairs
        assert [int(pair.labels[at, 0]) for at in (5, 20, 40)] == [0, 1, 2]
        assert [int(pair.known[at, 0]) for at in (5, 20, 40, 50)] == [1, 1, 1, 0]
        shown = open_example(made.learned[0], rule=made.plan.spec.target)
        np.testing.assert_array_equal(shown.truth, pair.labels)
        np.testing.assert_array_equal(shown.known, pair.known > 0)
    # A background with a number of its own leaves those of the classes as they are.
    other = replace(given, labels=Image(np.array([0, 9, 1, 2])[strokes], "yx"), background=9)
    made = finish(prepare([other], TrainSpec.of(task="organ", target=named)))
    assert [int(made.pairs[0].labels[at, 0]) for at in (5, 20, 40)] == [0, 1, 2]
    assert len(finish(prepare([other], TrainSpec.of(task="organ"))).plan.spec.target.classes) == 2


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 255), ("int16", -9999), ("float32", np.nan)])
def test_nobody_knows_what_is_where_a_raster_of_classes_holds_no_data(tmp_path, dtype, nodata):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    labels = np.zeros((64, 64), dtype)
    labels[:20], labels[40:], labels[:, :16] = 1, 2, nodata
    facts = {"height": 64, "width": 64, "crs": "EPSG:32633", "transform": Affine(1, 0, 500000, 0, -1, 5300000)}
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(1, 255, (3, 64, 64), np.uint8)
        with rasterio.open(tmp_path / "images" / f"{seed}.tif", "w", count=3, dtype="uint8", **facts) as raster:
            raster.write(pixels)
        with rasterio.open(
            tmp_path / "masks" / f"{seed}.tif", "w", count=1, dtype=dtype, nodata=nodata, **facts
        ) as one:
            one.write(labels, 1)
    for names in (["a", "b"], []):
        spec = TrainSpec.of(task="satellite", target={"name": "classes", "classes": names, "background": True})
        made = finish(prepare(tmp_path, spec))
        pair = made.pairs[0]
        assert len(made.plan.spec.target.classes) == 2
        assert not pair.known[:, :16].any()
        assert pair.known[:, 16:].all()
        np.testing.assert_array_equal(pair.labels[:, 16:], labels[:, 16:])
    shown = open_example(as_examples(tmp_path)[0])
    assert not shown.known[:, :16].any()
    assert shown.known[:, 16:].all()
    assert set(np.unique(shown.truth)) == {0, 1, 2}
