"""Classes of pixels from a few labels to a map: trained, judged, cut in any way, stopped and gone on with."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.crs import CRS
from typer.testing import CliRunner

import napari_unet
from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError, TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.place import GeoReference
from napari_unet.core.specs import SegmentSpec, TilingSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.cards import read_card
from napari_unet.training.run import train_model
from napari_unet.widgets._outcome import outcome_words
from napari_unet.workflows import segment_steps


def field(seed, shape=(96, 96), scale=None, unit="pixel"):
    """Return an image of two kinds of ground with a bright square of a third, and its map; a corner is not labeled."""
    rng = np.random.default_rng(seed)
    truth = np.ones(shape, np.int32)
    truth[..., shape[-1] // 2 + int(rng.integers(-9, 9)) :] = 2
    y, x = rng.integers(8, shape[-1] - 40, 2)
    truth[..., y : y + 30, x : x + 30] = 3
    image = np.array([0, 40, 100, 200])[truth] + rng.normal(0, 8, shape)
    truth[..., :8, :8] = 0
    axes, sides = "zyx"[-len(shape) :], scale or (1.0,) * len(shape)
    units = (unit,) * len(shape)
    return Image(image.astype(np.float32), axes, sides, units, f"{seed}"), Image(truth, axes, sides, units, f"{seed}")


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    examples = [Example(*field(seed), held_out=seed > 3) for seed in range(6)]
    spec = TrainSpec.of(
        task="satellite", name="land", steps=60, every=30, patch=64, batch=4, rate=2e-2, average=0.9,
        target={"name": "classes", "classes": ["road", "grass", "roof"], "background": False},
        net={"architecture": "unet", "ndim": 2, "inputs": 1, "outputs": 4, "widths": [8, 16, 24]},
    )  # fmt: skip
    return finish(train_model(examples, spec, tmp_path_factory.mktemp("land") / "land"))


def test_a_map_of_classes_is_learned(land):
    card = read_card(land)
    assert card.target.classes == ("road", "grass", "roof")
    assert card.grid.kind == "pixels"
    scores = card.metrics["validation"]
    assert scores["mDice"] > 0.8
    assert scores["mIoU"] <= scores["mDice"]
    assert {"Dice 1", "Dice 2", "Dice 3"} <= scores.keys()
    image, truth = field(11)
    found = napari_unet.segment(image, SegmentSpec.of(model=str(land)))
    labels = np.asarray(found.labels.data)
    assert labels.min() >= 1  # every pixel has a class
    known = truth.data > 0
    assert (labels == truth.data)[known].mean() > 0.9


def test_a_map_does_not_depend_on_how_it_was_made(land, tmp_path):
    planes = np.stack([field(seed)[0].data for seed in (7, 8)])
    image = Image(planes, "tyx", (1.0,) * 3, ("pixel",) * 3, "two")
    whole = napari_unet.segment(image, SegmentSpec.of(model=str(land)))
    assert whole.labels.data.max() == 3
    assert whole.manifest["objects"] == 3
    for tile, workers in ((32, 1), (48, 2)):
        spec = SegmentSpec.of(model=str(land), tiling={"tile": tile, "workers": workers})
        assert napari_unet.segment(image, spec).hash == whole.hash
    output = tmp_path / "map.ome.zarr"
    steps = napari_unet.workflows.segment_steps(image, spec, (), preview=True, output=output)
    for _ in range(9):
        next(steps)
    steps.close()
    stored = napari_unet.segment(image, spec, output=output)
    assert stored.hash == whole.hash
    np.testing.assert_array_equal(napari_unet.read_labels(output).data[:], whole.labels.data)


def test_classes_have_names_sizes_and_a_confidence(land):
    image, truth = field(11, scale=(0.5, 0.5), unit="m")
    spec = SegmentSpec.of(model=str(land), confidence=True, anomaly=True)
    found = finish(segment_steps(image, spec))
    assert [row.name for row in found.classes] == ["road", "grass", "roof"]
    assert not found.sized
    table = found.table
    assert table["name"].tolist() == ["road", "grass", "roof"]
    assert table["pixels"].sum() == truth.data.size
    np.testing.assert_allclose(table["area"], table["pixels"] / 4)
    sure = found.confidence.data
    assert sure.dtype == np.float32
    assert sure.shape == truth.shape
    assert 1 / 3 - 0.01 < sure.min() < sure.max() <= 1
    wrong = (found.labels.data != truth.data) & (truth.data > 0)
    assert sure[wrong].mean() < sure[~wrong].mean()
    for row, number in enumerate(table["index"]):
        assert table["confidence"][row] == pytest.approx(sure[found.labels.data == number].mean(), rel=1e-5)
    cut = finish(segment_steps(image, spec.model_copy(update={"tiling": TilingSpec(tile=32, workers=2)})))
    np.testing.assert_array_equal(cut.confidence.data, sure)
    # Every pixel has a class: what speaks against it is what is left.
    np.testing.assert_allclose(found.anomaly.data, 1 - sure, atol=1e-6)
    assert "anomaly" not in table
    assert finish(segment_steps(image, SegmentSpec.of(model=str(land)))).hash == found.hash == cut.hash


def test_shares_and_confidence_are_of_what_was_seen(land, tmp_path):
    image, _ = field(11)
    data = np.asarray(image.data).astype(np.float32)
    data[:, :20] = np.nan
    height, width = data.shape
    place = GeoReference((1.0, 0.0, 500000.0, 0.0, -1.0, 5300000.0), CRS.from_epsg(32633).to_wkt(), "EPSG:32633")
    image = replace(image, data=data, geo=place)
    spec = SegmentSpec.of(model=str(land), confidence=True)
    found = finish(segment_steps(image, spec))
    assert found.table["pixels"].sum() == height * (width - 20)
    assert found.table["share"].sum() == pytest.approx(1)
    napari_unet.workflows.write_image(tmp_path / "sure.tif", found.confidence)
    with rasterio.open(tmp_path / "sure.tif") as raster:
        sure = raster.read(1)
        assert np.isnan(raster.nodata)
    assert np.isnan(sure[:, :20]).all()
    np.testing.assert_array_equal(sure[:, 20:], found.confidence.data[:, 20:])
    upper = (((-1.0, -1.0), (-1.0, width), (9.5, width), (9.5, -1.0)),)
    part = finish(segment_steps(image, spec.model_copy(update={"region": upper})))
    assert part.table["pixels"].sum() == 10 * (width - 20)
    assert part.table["share"].sum() == pytest.approx(1)
    for name in ("map.gpkg", "map.geojson"):
        napari_unet.segment(image, SegmentSpec.of(model=str(land)), output=tmp_path / name)
        meta, _, _, columns = pyogrio.raw.read(tmp_path / name)
        rows = dict(zip(meta["fields"].tolist(), columns, strict=True))
        assert set(rows["class"]) <= {"road", "grass", "roof"}
        assert (rows["confidence"] > 0.3).all()
        assert set(rows["source"]) == {image.name}
    napari_unet.segment(replace(image, geo=None), SegmentSpec.of(model=str(land)), output=tmp_path / "flat.geojson")
    rows = [each["properties"] for each in json.loads((tmp_path / "flat.geojson").read_text("utf-8"))["features"]]
    assert {row["objectType"] for row in rows} == {"annotation"}
    assert {row["classification"]["name"] for row in rows} <= {"road", "grass", "roof"}
    assert min(row["measurements"]["Confidence"] for row in rows) > 0.3
    assert sum(row["measurements"]["Area px^2"] for row in rows) == height * (width - 20)


def test_the_command_line_speaks_of_classes(land, tmp_path):
    napari_unet.workflows.write_image(tmp_path / "tile.tif", field(12)[0])
    files = [str(tmp_path / name) for name in ("tile.tif", "map.tif", "map.csv", "sure.tif")]
    words = ["segment", files[0], "-o", files[1], "--model", str(land), "--table", files[2], "--confidence", files[3]]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert re.search(r"Classes +road \d+\.\d%, grass \d+\.\d%, roof \d+\.\d%", done.output)
    assert "Objects" not in done.output
    assert "Object width" not in done.output
    ahead = CliRunner().invoke(app, [*words, "--overwrite", "--dry-run"])
    assert ahead.exit_code == 0, ahead.output
    assert "Memory" in ahead.output
    assert "Object width" not in ahead.output
    assert napari_unet.workflows.read_table(files[2])["name"].tolist() == ["road", "grass", "roof"]
    sure, labels = napari_unet.read_image(files[3]), napari_unet.read_labels(files[1])
    assert sure.shape == labels.shape
    assert 0 < np.asarray(sure.data).max() <= 1
    said = json.loads(CliRunner().invoke(app, [*words, "--json", "--overwrite"]).output)
    assert said["classes"] == ["road", "grass", "roof"]
    assert sum(said["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert said["confidence"] == files[3]


def test_a_width_of_objects_means_nothing_to_it(land):
    with pytest.raises(SpecError, match="Leave the width open"):
        napari_unet.segment(field(9)[0], SegmentSpec.of(model=str(land), diameter=30.0))


def test_settings_of_objects_are_said_to_be_unused(land, tmp_path):
    image, _ = field(11)
    plain = napari_unet.segment(image, SegmentSpec.of(model=str(land)))
    found = napari_unet.segment(image, SegmentSpec.of(model=str(land), threshold=0.9, min_size=50))
    assert plain.unused == ""
    assert found.unused == (
        "threshold (each pixel gets the class with the highest score) "
        "and smallest pieces (this model has no background that could take their place)"
    )
    assert "Not used: threshold (each" in outcome_words(found, "fields", None)
    assert found.hash == plain.hash
    np.save(tmp_path / "field.npy", image.data)
    words = ["segment", "field.npy", "--model", str(land), "--threshold", "0.9", "-o", "found.tif"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Not used" in done.stderr + done.stdout


def test_more_classes_than_named_are_refused(tmp_path):
    image, truth = field(0)
    spec = TrainSpec.of(task="satellite", name="few", target={"name": "classes", "classes": ["road"]}, steps=1)
    with pytest.raises(TrainingDataError, match="labels up to 3, but classes are numbered up to 1"):
        finish(train_model([Example(image, truth)], spec, tmp_path / "few"))


def test_organs_are_brought_to_one_spacing(tmp_path):
    scales = [(3.0, 1.0, 1.0), (2.0, 0.5, 0.5), (3.0, 1.0, 1.0)]
    examples = [Example(*field(s, (16, 64, 64), side, "mm")) for s, side in enumerate(scales)]
    spec = TrainSpec.of(
        task="organ", name="parts", steps=2, every=2, patch=32, depth=8, batch=1,
        net={"architecture": "unet", "ndim": 3, "inputs": 1, "outputs": 2, "widths": [4, 8, 8]},
    )  # fmt: skip
    card = read_card(finish(train_model(examples, spec, tmp_path / "parts")))
    assert card.target.classes == ("class 1", "class 2", "class 3")
    assert card.grid.spacing == (3.0, 1.0, 1.0)
    image, _ = field(4, (16, 64, 64), (1500.0, 500.0, 500.0), "um")
    found = napari_unet.segment(image, SegmentSpec.of(model=str(tmp_path / "parts")))
    assert found.manifest["magnification"] == [0.5, 0.5, 0.5]
    assert found.labels.shape == image.shape
    plain, _ = field(4, (16, 64, 64))  # knows no spacing: taken as it is
    found = napari_unet.segment(plain, SegmentSpec.of(model=str(tmp_path / "parts")))
    assert found.manifest["magnification"] == [1.0, 1.0, 1.0]


def test_what_is_seen_smaller_is_learned_and_found_smaller(tmp_path):
    spec = TrainSpec.of(
        task="satellite", name="small", steps=40, every=40, patch=48, batch=4, rate=2e-2, average=0.9,
        target={"name": "classes", "classes": ["road", "grass", "roof"], "background": False},
        net={"architecture": "unet", "ndim": 2, "inputs": 1, "outputs": 4, "widths": [8, 16]},
        grid={"kind": "pixels", "zoom": 0.5},
    )  # fmt: skip
    card = read_card(finish(train_model([Example(*field(seed)) for seed in range(3)], spec, tmp_path / "small")))
    assert "0.5 times as large" in card.widths
    image, truth = field(11)
    found = napari_unet.segment(image, SegmentSpec.of(model=str(tmp_path / "small")))
    assert found.manifest["magnification"] == [0.5, 0.5]
    known = truth.data > 0
    assert (found.labels.data == truth.data)[known].mean() > 0.85
