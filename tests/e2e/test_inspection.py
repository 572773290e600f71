"""Inspection from a few examples to a verdict: report, exit code, resumption, long scans."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite
from typer.testing import CliRunner

import napari_unet
from napari_unet import workflows
from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError, SpecError
from napari_unet.core.examples import Example
from napari_unet.core.specs import SegmentSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.run import train_model

from ..commands import bad


def surface(seed, spots, shape=(96, 96)):
    """Return a gray surface with bright spots (1) and dark scratches (2), and its map."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, np.uint8)
    for kind, y, x in spots:
        truth[y : y + (8 if kind == 1 else 4), x : x + (8 if kind == 1 else 24)] = kind
    return (np.array([120, 210, 30])[truth] + rng.normal(0, 5, shape)).clip(0, 255).astype(np.uint8), truth


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng, examples = np.random.default_rng(0), []
    for seed in range(6):
        spots = [(1 + n % 2, int(rng.integers(4, 80)), int(rng.integers(4, 68))) for n in range(4)]
        image, truth = surface(seed, spots)
        examples.append(Example(Image(image, "yx", name=str(seed)), Image(truth, "yx")))
    spec = TrainSpec.of(
        task="inspection", name="spots", steps=80, every=80, patch=64, batch=4, rate=2e-2, average=0.9,
        target={"name": "classes", "classes": ["spot", "scratch"]}, foreground=0.7,
        normalize={"kind": "fixed", "offset": [120], "divisor": [100]},
        augment={
            "elastic": 0, "scale_jitter": 0.05, "gamma": 0, "invert": 0, "contrast": 0.05, "noise": 0.02, "blur": 0,
        },
        net={"architecture": "unet", "ndim": 2, "inputs": 1, "outputs": 4, "widths": [8, 16]},
    )  # fmt: skip
    return finish(train_model(examples, spec, tmp_path_factory.mktemp("spots") / "spots"))


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A folder with a good image, one with a spot, one with a scratch and two spots, and no image at all."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line" / "day 2").mkdir(parents=True)
    imwrite("line/good.tif", surface(20, [])[0])
    imwrite("line/spot.tif", surface(21, [(1, 20, 30)])[0])
    imwrite("line/day 2/bad.tif", surface(22, [(1, 10, 10), (1, 60, 60), (2, 40, 20)])[0])
    return tmp_path / "line"


def inspect(*words):
    result = CliRunner().invoke(app, ["inspect", *map(str, words)])
    return result.exit_code, result.output


def rows(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_is_inspected(model, line):
    code, said = inspect(line, "--model", model, "-o", "report.csv", "--pixel-size", "0.1", "--json")
    assert code == 1
    assert json.loads(said[said.index("{") :]) == {"passed": 1, "failed": 2, "errors": 0, "defects": 4}
    found = rows("report.csv")
    assert [row["image"] for row in found] == ["day 2/bad.tif"] * 3 + ["spot.tif"]
    assert sorted(row["class"] for row in found) == ["scratch", "spot", "spot", "spot"]
    spot = found[-1]
    assert float(spot["y"]) == pytest.approx(23.5, abs=1)
    assert float(spot["x"]) == pytest.approx(33.5, abs=1)
    assert float(spot["area_mm2"]) == pytest.approx(0.64, rel=0.3)
    assert float(spot["length_mm"]) == pytest.approx(np.hypot(0.8, 0.8), rel=0.25)
    verdicts = {row["image"]: row["verdict"] for row in rows("report.images.csv")}
    assert verdicts == {"good.tif": "pass", "spot.tif": "fail", "day 2/bad.tif": "fail"}


def test_rules_decide_and_the_exit_code_says_so(model, line):
    how = [line, "--model", model, "--overwrite", "-o", "report.csv"]
    assert inspect(*how, "--fail-if", "area > 900")[0] == 0
    assert inspect(*how, "--fail-if", "class = scratch")[0] == 1
    assert [row["verdict"] for row in rows("report.images.csv")] == ["fail", "pass", "pass"]
    assert inspect(*how, "--fail-if", "class = spot and count >= 2")[0] == 1
    assert rows("report.images.csv")[0]["reason"] == "class = spot and count >= 2"
    code, _ = inspect(*how, "--fail-if", "area > 2 mm2")
    assert code == 2
    assert "--pixel-size" in rows("report.images.csv")[0]["reason"]
    assert inspect(*how, "--fail-if", "area > 2 apples")[0] == 2
    assert inspect(line / "none", "--model", model, "-o", "other.csv")[0] == 2


def test_what_cannot_be_read_is_an_error_and_the_others_go_on(model, line):
    (line / "broken.tif").write_bytes(b"II*\0 nothing")
    code, _ = inspect(line, "--model", model, "-o", "report.csv")
    assert code == 2
    verdicts = {row["image"]: row["verdict"] for row in rows("report.images.csv")}
    assert verdicts["broken.tif"] == "error"
    assert verdicts["good.tif"] == "pass"
    imwrite(line / "broken.tif", surface(20, [])[0])
    assert inspect(line, "--model", model, "-o", "report.csv")[0] == 1
    assert {row["verdict"] for row in rows("report.images.csv")} == {"pass", "fail"}


def test_a_stopped_inspection_goes_on(model, line):
    spec = SegmentSpec.of(model=str(model))
    steps = workflows.inspect_steps(line, "report.csv", spec)
    for progress in steps:
        if progress.payload is not None:
            break
    steps.close()
    assert len(rows("report.images.csv")) == 1
    seen = []
    found = napari_unet.workflows.inspect(line, "report.csv", spec, show=lambda p: seen.append(p.payload))
    assert len([one for one in seen if one is not None]) == 2
    assert (found.passed, found.failed, found.defects) == (1, 2, 4)
    with pytest.raises(OutputError, match=r"other settings \(rule\)"):
        workflows.inspect(line, "report.csv", spec, rule="area > 3")
    (line / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no images"):
        workflows.inspect(line / "empty", "other.csv", spec)


def test_the_exit_code_is_of_the_images_that_are_named(model, line):
    how = ("--model", model, "-o", "report.csv", "--json")
    assert inspect(line / "spot.tif", *how)[0] == 1
    code, said = inspect(line / "good.tif", *how)
    assert code == 0
    assert json.loads(said[said.index("{") :]) == {"passed": 1, "failed": 0, "errors": 0, "defects": 0}
    assert [row["verdict"] for row in rows("report.images.csv")] == ["fail", "pass"]


def test_an_image_is_never_taken_for_one_of_another_folder(model, line):
    how = ("--model", model, "-o", "report.csv")
    other = line.parent / "line 4" / "good.tif"
    other.parent.mkdir()
    imwrite(other, surface(21, [(1, 20, 30)])[0])
    stamp = (line / "good.tif").stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert other.stat().st_size == stamp.st_size
    assert inspect(line / "good.tif", *how)[0] == 0
    assert "'line 4/good.tif'" in bad("inspect", other.parent, *how)
    assert [row["verdict"] for row in rows("report.images.csv")] == ["pass"]
    assert inspect(line, other.parent, "--model", model, "-o", "both.csv")[0] == 1
    assert {"line/good.tif", "line 4/good.tif"} < {row["image"] for row in rows("both.images.csv")}


def test_images_keep_their_names_when_a_folder_grows(model, line):
    spec, seen = SegmentSpec.of(model=str(model)), []
    (line / "day 1").mkdir()
    (line / "good.tif").rename(line / "day 1" / "a.tif")
    (line / "spot.tif").unlink()
    (line / "day 2" / "bad.tif").rename(line.parent / "later.tif")
    assert workflows.inspect(line, "report.csv", spec, labels="labels").passed == 1
    (line.parent / "later.tif").rename(line / "day 2" / "a.tif")
    imwrite(line / "day 2" / "a.tiff", surface(20, [])[0])
    found = workflows.inspect(line, "report.csv", spec, labels="labels", show=lambda p: seen.append(p.payload))
    assert (found.passed, found.failed) == (2, 1)
    assert len([one for one in seen if one is not None]) == 2
    assert {row["image"] for row in rows("report.images.csv")} == {"day 1/a.tif", "day 2/a.tif", "day 2/a.tiff"}
    kept = {str(path.relative_to("labels")) for path in Path("labels").rglob("*.ome.zarr")}
    assert kept == {"day 1/a.ome.zarr", "day 2/a.tif.ome.zarr", "day 2/a.tiff.ome.zarr"}


def test_labels_in_the_folder_of_the_images_are_no_images(model, line):
    how = (line, "--model", model, "-o", line / "report.csv", "--labels", line / "labels", "--fail-if", "area > 900")
    assert inspect(*how)[0] == 0
    (line / "labels" / "x.ome.zarr.unfinished" / "labels.zarr").mkdir(parents=True)
    (line / "labels" / "x.ome.zarr.unfinished" / "labels.zarr" / "zarr.json").write_text("{}")
    assert inspect(*how)[0] == 0
    assert {row["image"] for row in rows(line / "report.images.csv")} == {"good.tif", "spot.tif", "day 2/bad.tif"}


def test_labels_that_were_corrected_by_hand_are_kept(model, line):
    spec = SegmentSpec.of(model=str(model))
    workflows.inspect(line / "spot.tif", "report.csv", spec, labels="labels")
    kept = Path("labels/spot.ome.zarr")
    part = Image(np.zeros((8, 8), np.int32), "yx")
    window = {"y": slice(0, 8), "x": slice(0, 8)}
    finish(workflows.edit_labels_steps(kept, part, replace(part, data=part.data + 2), window, {}, None))
    with pytest.raises(OutputError, match="corrected by hand"):
        workflows.inspect(line / "spot.tif", "other.csv", spec, labels="labels")
    workflows.write_image("labels/good.ome.zarr", Image(surface(20, [])[0], "yx"), {})
    with pytest.raises(OutputError, match="something else than labels"):
        workflows.inspect(line / "good.tif", "other.csv", spec, labels="labels")
    assert napari_unet.read_image("labels/good.ome.zarr").shape == (96, 96)
    assert napari_unet.read_labels(kept).data[0, 0] == 2
    assert workflows.inspect(line / "spot.tif", "other.csv", spec, labels="labels", overwrite=True).failed == 1
    assert napari_unet.read_labels(kept).data[0, 0] == 0


def test_labels_and_confidence_come_if_asked_for(model, line):
    spec = SegmentSpec.of(model=str(model), average="flips", uncertainty=True)
    workflows.inspect(line / "spot.tif", "report.csv", spec, rule="confidence > 0.5", labels="labels")
    assert 0.5 < float(rows("report.csv")[0]["confidence"]) <= 1
    assert rows("report.images.csv")[0]["verdict"] == "fail"
    assert set(np.unique(napari_unet.read_labels("labels/spot.ome.zarr").data[:])) == {0, 1}


def test_a_long_scan_needs_the_memory_of_a_part(model, tmp_path, monkeypatch):
    monkeypatch.setattr(workflows.inspection, "_LARGE", 1 << 16)
    spots = [(1, 100, 20), (2, 3000, 30), (1, 5900, 70)]
    image, _ = surface(30, spots, (6000, 96))
    imwrite(tmp_path / "scan.tif", image)
    tracemalloc.start()
    spec = SegmentSpec.of(model=str(model), tiling={"tile": 256, "workers": 1})
    verdict = finish(workflows.inspect_image_steps(napari_unet.read_image(tmp_path / "scan.tif"), spec))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.kind for one in verdict.defects] == ["spot", "scratch", "spot"]
    places = [(one.y, one.x) for one in verdict.defects]
    np.testing.assert_allclose(places, [(103.5, 23.5), (3001.5, 41.5), (5903.5, 73.5)], atol=1.5)
    assert peak < 64 << 20


def test_a_rule_that_no_defect_can_meet_is_refused(model, line):
    spec = SegmentSpec.of(model=str(model))
    with pytest.raises(SpecError, match=r"names the class 'spott'.*It knows: spot, scratch"):
        workflows.inspect(line, "report.csv", spec, rule="area > 9 or not (class = spott and area > 3)")
    assert not Path("report.csv").exists()
    assert workflows.inspect(line / "spot.tif", "report.csv", spec, rule="class = SPOT").failed == 1


def test_what_was_not_seen_does_not_pass(model, line):
    spec = SegmentSpec.of(model=str(model))
    (line / "dark").mkdir()
    good, spot = (surface(seed, spots)[0].astype(np.float32) for seed, spots in ((40, []), (41, [(1, 20, 30)])))
    for name, image, rows_lost in (("half", good, 48), ("spot", spot, 10), ("all", good, 96)):
        image[96 - rows_lost :] = np.nan
        imwrite(line / "dark" / f"{name}.tif", image)
    imwrite(line / "dark" / "flat.tif", np.full((96, 96), 120, np.uint8))
    found = workflows.inspect(line / "dark", "dark.csv", spec)
    verdicts = {row["image"]: (row["verdict"], row["reason"]) for row in rows("dark.images.csv")}
    assert verdicts["half.tif"] == ("error", "Not seen: 4608 pixels that hold no number, 50.0% of the image.")
    assert (verdicts["all.tif"][0], verdicts["spot.tif"][0]) == ("error", "fail")
    assert found.code == 2
    again = workflows.inspect(line / "dark" / "half.tif", "again.csv", spec, unseen=0.6)
    assert again.passed == 1


def test_intensities_that_the_model_does_not_know_do_not_pass(model, line):
    """A camera that was set to 12 bits shows the model nothing that it has learned from."""
    Path("deep").mkdir()
    for name, spots in (("good", []), ("bad", [(2, 40, 20)])):
        imwrite(f"deep/{name}.tif", 4095 - surface(42, spots)[0].astype(np.uint16))
    for labels in (None, "labels"):
        found = workflows.inspect(
            "deep", "deep.csv", model=str(model), labels=labels, rule="class = scratch", overwrite=True
        )
        assert (found.passed, found.errors) == (0, 2)
        assert "Labels will be wrong" in rows("deep.images.csv")[0]["reason"]


@pytest.fixture
def sides(tmp_path, monkeypatch, disks):
    """Folders of one channel each: two surfaces, most of whose defects are seen in the last two channels only."""
    monkeypatch.chdir(tmp_path)
    image, labels = disks
    for number, side in enumerate(("left", "right", "top")):
        Path(side, "line").mkdir(parents=True)
        for name, rest in (("p", 4), ("q", 3)):
            seen = np.where((labels % rest == 0) == (number == 0), image, 1000)
            imwrite(Path(side, "line", f"{name}.tif"), seen.astype(np.uint16))
    Path("top/line/p.tif").rename("top/line/other.tif")
    imwrite("top/line/p.tiff", np.asarray(napari_unet.read_image("top/line/other.tif").data))
    Path("top/line/other.tif").unlink()
    return ["left", "right", "top"]


def further(sides):
    return [word for side in sides for word in ("--channel", side)]


def test_channels_are_files_or_folders_with_files_of_the_same_names(bright, sides):
    how = ("--model", bright, "--fail-if", "count > 20")
    code, said = inspect("left", *further(sides[1:]), *how, "-o", "r.csv", "--json")
    files = [[f"{side}/line/{name}" for side in sides] for name in ("p.tif", "q.tif")]
    files[0][2] = "top/line/p.tiff"
    spec = SegmentSpec.of(model=str(bright))
    found = [napari_unet.segment(each, spec).objects for each in files]
    assert min(found) > 20 > max(napari_unet.segment(each[0], spec).objects for each in files)
    assert [row["image"] for row in rows("r.images.csv")] == ["p.tif", "q.tif"]
    assert [int(row["defects"]) for row in rows("r.images.csv")] == found
    assert code == 1
    assert workflows.match_channels(sides) == [tuple(map(Path, each)) for each in files]
    same = workflows.inspect(files, "python.csv", spec, rule="count > 20")
    assert rows("python.csv") == rows("r.csv")
    assert json.loads(said[said.index("{") :])["defects"] == same.defects == sum(found)
    inspect(files[1][0], *further(files[1][1:]), *how, "-o", "one.csv")
    assert rows("one.csv") == [row for row in rows("r.csv") if row["image"] == "q.tif"]
    # All files of an image are looked at when the same command is given again.
    moment = rows("r.images.csv")
    imwrite("right/line/q.tif", np.full((96, 112), 1000, np.uint16))
    inspect("left", *further(sides[1:]), *how, "-o", "r.csv")
    assert rows("r.images.csv")[0] == moment[0]
    assert rows("r.images.csv")[1] != moment[1]


def test_an_image_that_lacks_a_channel_does_not_pass(bright, sides):
    how = ("--model", bright, "--fail-if", "count > 99", "-o", "r.csv")
    Path("top/line/q.tif").rename("top/line/r.tif")
    code, _ = inspect("left", *further(sides[1:]), *how)
    assert code == 2
    verdicts = {row["image"]: (row["verdict"], row["reason"]) for row in rows("r.images.csv")}
    assert verdicts["p.tif"] == ("pass", "")
    assert verdicts["q.tif"][0] == verdicts["r.tif"][0] == "error"
    assert "There is no file 'top/line/q.tif'" in verdicts["q.tif"][1]
    assert "There is no file 'left/line/r.tif'" in verdicts["r.tif"][1]
    Path("top/line/r.tif").rename("top/line/q.tif")
    Path("right/line/q.tif").write_bytes(Path("right/line/p.tif").read_bytes())
    assert inspect("left", *further(sides[1:]), "--model", bright, "--fail-if", "count > 99", "-o", "s.csv")[0] == 0
    imwrite("right/line/q.tif", np.zeros((96, 111), np.uint16))
    assert inspect("left", *further(sides[1:]), "--model", bright, "--fail-if", "count > 99", "-o", "s.csv")[0] == 2
    assert "does not lie on the grid" in rows("s.images.csv")[1]["reason"]


def test_channels_of_nobody_are_refused_before_anything_is_inspected(bright, sides):
    how = ("--model", bright, "-o", "r.csv")
    for words, said in (
        (("left/line/p.tif", "left/line/q.tif", "--channel", "right/line/p.tif"), "but 2 are given"),
        (("left", "--channel", "right/line/p.tif"), "'left' is a folder and 'right/line/p.tif' is an image"),
        (("left", "--channel", "left/../left"), "given twice"),
        (("left", "--channel", "top/line"), "'top/line' has no file of the name of one in 'left'"),
        (("left/line/p.tif", "--channel", "none.tif"), "'none.tif' does not exist"),
    ):
        assert said in bad("inspect", *words, *how)
    assert not Path("r.csv").exists()
