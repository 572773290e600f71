"""Many images: the labels that each gets alone, tables of all, and runs that were stopped, repeated and corrected."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
import zarr

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.results import Segmentation, label_hash
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress

from .commands import bad, good, run
from .io.test_members import write_plate


@pytest.fixture
def here(tmp_path, disks, bright, monkeypatch):
    """A folder with two images, in it another one with two positions of a stage, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    image = disks[0]
    folder = tmp_path / "in" / "day 1"
    folder.mkdir(parents=True)
    tifffile.imwrite(tmp_path / "in" / "a.tif", image)
    tifffile.imwrite(tmp_path / "in" / "b.tif", image[:40])
    with tifffile.TiffWriter(folder / "stage.ome.tif") as writer:
        for part in (image[:, :50], image[:, 40:]):
            writer.write(part, metadata={"axes": "YX"})
    (tmp_path / "in" / "bad.tif").write_bytes(b"no")
    return tmp_path


IMAGES = ("a.tif", "b.tif", "day 1/stage.ome.tif/1", "day 1/stage.ome.tif/2")
LABELS = ("a", "b", "day 1/stage-1", "day 1/stage-2")


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def labels_of(place):
    return np.asarray(workflows.read_labels(place).data)


@pytest.mark.parametrize("kind", [".ome.zarr", ".tif"])
def test_each_image_gets_the_labels_that_it_gets_alone(here, bright, kind):
    done = run("batch", "in", "-o", "out", "--model", "bright", "--format", kind, "--json")
    assert done.exit_code == 1, "one of them is no image"
    told = json.loads(done.stdout)
    assert (told["done"], told["failed"]) == (4, 1)
    assert "bad.tif: Not segmented: 'in/bad.tif' is not a readable TIFF" in done.stderr
    counts = {}
    for image, name in zip(IMAGES, LABELS, strict=True):
        alone = napari_unet.segment(here / "in" / image, model="bright")
        assert label_hash(labels_of(here / "out" / "labels" / f"{name}{kind}")) == alone.hash
        counts[image] = alone.objects
    assert min(counts.values()) > 0
    said = rows(here / "out" / "images.csv")
    assert {row["image"]: int(row["objects"]) for row in said} == counts | {"bad.tif": 0}
    assert told["objects"] == sum(counts.values())
    table = rows(here / "out" / "objects.csv")
    assert [row["image"] for row in table] == [name for name in IMAGES for _ in range(counts[name])]
    own = workflows.read_table(here / "out" / "tables" / "day 1" / "stage-2.csv")
    assert [float(row["area"]) for row in table if row["image"] == IMAGES[3]] == own["area"].tolist()
    assert "well" not in table[0]


def test_one_of_several_images_is_chosen(here):
    stage = "in/day 1/stage.ome.tif"
    good("batch", stage, "--series", "2", "-o", "out", "--model", "bright")
    assert [row["image"] for row in rows(here / "out" / "images.csv")] == ["stage.ome.tif/2"]
    alone = napari_unet.segment(here / stage / "2", model="bright")
    assert label_hash(labels_of(here / "out" / "labels" / "stage-2.ome.zarr")) == alone.hash
    words = ("-o", "new", "--model", "bright", "--series")
    assert "has no series 5" in bad("batch", stage, *words, "5")
    assert "2 are given" in bad("batch", stage, "in/a.tif", *words, "1")
    done = run("inspect", stage, "--series", "1", "-o", "report.csv", "--model", "bright", "--json")
    told = json.loads(done.stdout)
    assert (told["passed"], told["failed"], told["errors"]) == (0, 1, 0)


def test_images_that_are_asked_for_in_another_way_are_not_done_again(here):
    stage, out = "in/day 1/stage.ome.tif", here / "out"
    good("batch", stage, "-o", "out", "--model", "bright")
    before = [row | {"image": ""} for row in rows(out / "images.csv")]
    table = (out / "images.csv").read_text()
    (out / "images.csv").write_text(table.replace("stage.ome.tif/1,", "1,").replace("stage.ome.tif/2,", "2,"))
    assert [row["image"] for row in rows(out / "images.csv")] == ["1", "2"], "as they were called once"
    for source, names in (
        (stage, ["stage.ome.tif/1", "stage.ome.tif/2"]),
        ("in/day 1", ["stage.ome.tif/1", "stage.ome.tif/2"]),
        ("in", [*IMAGES[2:], "a.tif", "b.tif", "bad.tif"]),
    ):
        run("batch", source, "-o", "out", "--model", "bright")
        told = rows(out / "images.csv")
        assert sorted(row["image"] for row in told) == sorted(names)
        done = {row["labels"]: row | {"image": ""} for row in told}
        assert [done[row["labels"]] for row in before] == before, "and were not segmented again"
    assert {row["image"] for row in rows(out / "objects.csv")} == set(IMAGES)


def test_classes_are_told_by_their_shares(here, monkeypatch):
    """A row of a table of classes is no object."""

    def classified(image, *_given, output, **_named):
        values = np.full(image.shape, 1, np.int32)
        values[: image.shape[0] // 4] = 2
        rows = [{"label": n, "name": name, "color": ""} for n, name in enumerate(("forest", "lake; or sea"), 1)]
        share = (values == 2).mean()
        table = {
            "index": np.array([1, 2]),
            "name": np.array(["forest", "lake; or sea"]),
            "share": np.array([1 - share, share]),
        }
        workflows.write_labels(output, Image(values, "yx"), {"classes": rows})
        yield Progress(1, 1)
        return Segmentation(Image(values, "yx"), 2, 0.0, 1.0, {"classes": rows}, table)

    monkeypatch.setattr("napari_unet.workflows.many.segment_steps", classified)
    words = ("batch", "in/a.tif", "in/b.tif", "-o", "out", "--model", "bright")
    assert "forest 75.00%; lake; or sea 25.00% (mean of 2 images)" in good(*words)
    told = json.loads(good(*words, "--json"))
    assert told["classes"] == {"forest": 0.75, "lake; or sea": 0.25}, "also where nothing was left to do"
    assert told["objects"] == 0
    said = rows(here / "out" / "images.csv")
    assert [(row["objects"], row["classes"]) for row in said] == [("", "forest 75.00%; lake; or sea 25.00%")] * 2


def test_results_of_before_go_on(here):
    """Tables of images had no column of classes."""
    good("batch", "in/a.tif", "-o", "out", "--model", "bright")
    table = here / "out" / "images.csv"
    before = rows(table)
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [name for name in before[0] if name != "classes"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(before)
    good("batch", "in/a.tif", "-o", "out", "--model", "bright")
    assert rows(table) == before, "it was not done again"


@pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
def test_what_the_reader_of_an_image_has_to_say_is_told(here):
    tifffile.imwrite(here / "planes.tif", np.zeros((3, 20, 20), np.uint16))
    done = run("inspect", "planes.tif", "-o", "report.csv", "--model", "bright")
    assert "planes.tif: 3 planes were taken for channels" in done.stderr


def test_a_stopped_run_goes_on(here, monkeypatch):
    steps = workflows.batch_steps("in", "out", SegmentSpec(model="bright"))
    for progress in steps:
        if progress.payload is not None and progress.payload.image == "b.tif":
            break
    steps.close()
    assert not (here / "out" / "objects.csv").exists()
    assert [row["image"] for row in rows(here / "out" / "images.csv")] == ["a.tif", "b.tif"]
    with (here / "out" / "images.csv").open("a") as stream:
        stream.write("day 1/stage.ome.ti")  # torn
    asked = []

    def noted(image, *more, **how):
        asked.append(image.source)
        return workflows.segment_steps(image, *more, **how)

    monkeypatch.setattr(workflows.many, "segment_steps", noted)
    found = workflows.batch("in", "out", model="bright")
    assert len(asked) == 2, "what was done is not done again"
    assert [one.image for one in found.images] == ["a.tif", "b.tif", "bad.tif", *IMAGES[2:]]
    assert {row["image"] for row in rows(here / "out" / "objects.csv")} == set(IMAGES)
    asked.clear()
    tifffile.imwrite(here / "in" / "bad.tif", tifffile.imread(here / "in" / "a.tif")[:, ::-1])
    tifffile.imwrite(here / "in" / "b.tif", tifffile.imread(here / "in" / "a.tif")[:60])
    found = workflows.batch("in", "out", model="bright")
    assert sorted(asked) == ["in/b.tif", "in/bad.tif"], "what failed or was changed is done again"
    assert found.failed == 0
    assert label_hash(labels_of(here / "out/labels/b.ome.zarr")) == napari_unet.segment("in/b.tif", model="bright").hash


@pytest.mark.parametrize("kind", [".ome.zarr", ".tif"])
def test_what_was_corrected_is_measured_again_and_kept(here, kind):
    spec = SegmentSpec(model="bright")
    workflows.batch("in/a.tif", "out", spec, kind=kind)
    place = here / "out" / "labels" / f"a{kind}"
    values = labels_of(place)
    values[values == 1] = 0
    labels, manifest = workflows.read_labels(place), workflows.find_manifest(place)
    fixed = Image(values, labels.axes, labels.scale, labels.units)
    workflows.write_labels(place, fixed, {**manifest, "edited": [{"when": "now"}]}, overwrite=True)
    before = len(rows(here / "out" / "objects.csv"))
    found = workflows.batch("in/a.tif", "out", spec, kind=kind)
    table = rows(here / "out" / "objects.csv")
    assert found.objects == len(table) == before - 1
    assert "1" not in {row["index"] for row in table}
    np.testing.assert_array_equal(labels_of(place), values)
    tifffile.imwrite(here / "in" / "a.tif", tifffile.imread(here / "in" / "a.tif")[::-1])
    with pytest.raises(OutputError, match="corrected by hand"):
        workflows.batch("in/a.tif", "out", spec, kind=kind)
    workflows.batch("in/a.tif", "out", spec, kind=kind, overwrite=True)
    assert label_hash(labels_of(place)) == napari_unet.segment("in/a.tif", spec).hash


def test_rings_around_objects_are_measured_too(here):
    good("batch", "in/a.tif", "-o", "out", "--model", "bright", "--around", "5")
    table = workflows.read_table(here / "out" / "objects.csv")
    labels = workflows.read_labels(here / "out" / "labels" / "a.ome.zarr")
    alone = workflows.measure(labels, workflows.read_image(here / "in" / "a.tif"), around=5)
    for name in ("ring_area", "cell_area", "ring_intensity_mean", "intensity_ratio"):
        np.testing.assert_allclose(table[name], alone[name])
    good("batch", "in/a.tif", "-o", "out", "--model", "bright")  # what is measured may change
    assert "ring_area" not in workflows.read_table(here / "out" / "objects.csv")
    assert "is no distance" in bad("batch", "in/a.tif", "-o", "new", "--model", "bright", "--around", "far")
    assert not (here / "new").exists()


def test_labels_that_were_spoiled_fail_alone(here):
    workflows.batch(["in/a.tif", "in/b.tif"], "out", SegmentSpec(model="bright"), kind=".tif")
    (here / "out" / "labels" / "a.tif").write_bytes(b"spoiled")
    found = workflows.batch(["in/a.tif", "in/b.tif"], "out", SegmentSpec(model="bright"), kind=".tif")
    assert "changed and cannot be measured" in found.images[0].failed
    assert found.images[1].objects > 0
    assert {row["image"] for row in rows(here / "out" / "objects.csv")} == {"b.tif"}


def test_other_settings_are_not_mixed_in(here):
    good("batch", "in/a.tif", "in/b.tif", "-o", "out", "--model", "bright", "--workers", "1")
    good("batch", "in/b.tif", "in/a.tif", "-o", "out", "--model", "bright", "--device", "cpu")
    assert "made with other settings (diameter)" in bad(
        "batch", "in/a.tif", "-o", "out", "--model", "bright", "--diameter", "9"
    )
    good("batch", "in/a.tif", "-o", "out", "--model", "bright", "--diameter", "9", "--overwrite")
    assert [row["width"] for row in rows(here / "out" / "images.csv")] == ["9.00"]
    assert "holds no images" in bad("batch", "out", "-o", "out", "--model", "bright")
    assert "go to a folder of this computer" in bad("batch", "in", "-o", "s3://bucket/x", "--model", "bright")
    (here / "in" / "elsewhere").mkdir()
    tifffile.imwrite(here / "in" / "elsewhere" / "a.tif", np.zeros((9, 9), np.uint8))
    where = bad("batch", "in/elsewhere/a.tif", "-o", "out", "--model", "bright", "--diameter", "9")
    assert "has an image 'a.tif' already" in where


def test_settings_that_were_wrong_for_all_images_are_put_right_by_the_next_command(here):
    for name in ("a", "b"):
        colors = np.repeat(tifffile.imread(here / "in" / f"{name}.tif")[None], 2, 0)
        tifffile.imwrite(here / "in" / f"{name}.tif", colors, metadata={"axes": "CYX"}, photometric="minisblack")
    words = ("in/a.tif", "in/b.tif", "-o", "out", "--model", "bright")
    assert "--channels 0" in run("batch", *words).output
    good("batch", *words, "--channels", "0")
    assert not any(row["failed"] for row in rows(here / "out" / "images.csv"))
    assert len({row["image"] for row in rows(here / "out" / "objects.csv")}) == 2
    assert "made with other settings (channels)" in bad("batch", *words, "--channels", "1")


def test_images_that_are_no_longer_named_alike_keep_their_labels(here):
    tifffile.imwrite(here / "in" / "a.png.tif", np.zeros((9, 9), np.uint8))
    good("batch", "in/a.tif", "-o", "out", "--model", "bright")
    (here / "more").mkdir()
    np.save(here / "more" / "a.npy", tifffile.imread(here / "in" / "b.tif"))
    good("batch", "more/a.npy", "-o", "out", "--model", "bright")
    said = {row["image"]: row["labels"] for row in rows(here / "out" / "images.csv")}
    assert said == {"a.tif": "labels/a.ome.zarr", "a.npy": "labels/a.npy.ome.zarr"}
    assert label_hash(labels_of(here / "out" / said["a.tif"])) == napari_unet.segment("in/a.tif", model="bright").hash


def test_what_no_run_has_made_is_not_replaced(here):
    (here / "out" / "labels").mkdir(parents=True)
    tifffile.imwrite(here / "out" / "labels" / "a.tif", np.ones((9, 9), np.int32))
    assert "something else than labels of a run" in bad(
        "batch", "in/a.tif", "-o", "out", "--model", "bright", "--format", ".tif"
    )
    assert tifffile.imread(here / "out" / "labels" / "a.tif").sum() == 81


def test_results_are_no_images(here):
    good("batch", "in/a.tif", "-o", "in/results", "--model", "bright", "--format", ".tif")
    found = workflows.batch("in", "out", model="bright")
    assert [one.image for one in found.images] == ["a.tif", "b.tif", "bad.tif", *IMAGES[2:]]


def test_a_plate_has_wells(here):
    write_plate(here / "plate.ome.zarr")
    said = good("batch", "plate.ome.zarr", "-o", "out", "--model", "bright")
    assert "Images" in said
    told = rows(here / "out" / "images.csv")
    assert [(row["image"], row["well"], row["labels"]) for row in told] == [
        ("B/3/0", "B3", "labels/B/3/0.ome.zarr"), ("B/3/1", "B3", "labels/B/3/1.ome.zarr"),
        ("A/10/0", "A10", "labels/A/10/0.ome.zarr"),
    ]  # fmt: skip
    assert all("without any contrast" in row["note"] for row in told)
    assert (here / "out" / "objects.csv").read_text().startswith("image,well,")


def test_labels_go_into_the_plate(here):
    plate = write_plate(here / "plate.ome.zarr")
    words = ("batch", "plate.ome.zarr", "--model", "bright", "--into-plate", "nuclei", "-o")
    good(*words, "out")
    fields = [plate / each for each in ("B/3/0", "B/3/1", "A/10/0")]
    for field in fields:
        beside = here / "out" / "labels" / f"{field.relative_to(plate).as_posix()}.ome.zarr"
        assert workflows.find_manifest(field) == workflows.find_manifest(beside)
        assert np.array_equal(labels_of(field), labels_of(beside))
    before = (here / "out" / "images.csv").read_text()
    shutil.rmtree(fields[1] / "labels")
    good(*words, "out")
    assert (here / "out" / "images.csv").read_text() == before, "labels in it do not make it another image"
    assert (fields[1] / "labels" / "nuclei").is_dir(), "what is missing is put there again"
    assert "holds other labels" in bad(*words, "others")
    assert not (here / "others" / "labels").exists(), "refused before anything was done"
    assert "is no OME-Zarr" in bad("batch", "in/a.tif", *words[2:], "others")
    assert "are .ome.zarr beside them" in bad(*words, "others", "--format", ".tif")


def test_a_run_that_was_killed_before_new_labels_were_in_the_plate_goes_on(here, monkeypatch):
    plate = write_plate(here / "plate.ome.zarr", {"B/3": ("0",)})
    words = ("batch", "plate.ome.zarr", "--model", "bright", "--into-plate", "nuclei", "-o", "out")
    good(*words)
    field = plate / "B" / "3" / "0"
    first = workflows.find_manifest(field)
    level = zarr.open_group(field, mode="r+")["s0"]
    level[...] = np.roll(level[...], 3) + 1

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("napari_unet.workflows.many._put_inside", killed)
        assert run(*words).exit_code != 0
    beside = workflows.find_manifest(here / "out" / "labels" / "B" / "3" / "0.ome.zarr")
    assert beside != first == workflows.find_manifest(field)
    good(*words)
    assert workflows.find_manifest(field) == beside
    assert "holds other labels" in bad(*words, "--diameter", "9", "-o", "others")


def test_channels_in_folders_of_their_own(here):
    for name in ("one", "two"):
        (here / name).mkdir()
        tifffile.imwrite(here / name / "x.tif", tifffile.imread(here / "in" / "a.tif"))
    good("batch", "one", "--channel", "two", "--channels", "0", "-o", "out", "--model", "bright")
    assert [row["image"] for row in rows(here / "out" / "images.csv")] == ["x.tif"]
    assert rows(here / "out" / "images.csv")[0]["files"] == "../one/x.tif; ../two/x.tif"


def test_parts_on_several_computers(here):
    how = ("--model", "bright", "--of", "2", "--part")
    whole = workflows.batch("in", "whole", model="bright")
    second = run("batch", "in", "-o", "out", *how, "2")
    assert second.exit_code == 0
    assert "without --part and --of" in second.stderr
    assert not (here / "out" / "objects.csv").exists()
    told = json.loads(run("batch", "in", "-o", "out", *how, "1", "--json").stdout)
    assert [one["image"] for one in told["images"]] == ["a.tif", "bad.tif", IMAGES[3]]
    assert "made with other settings (diameter)" in bad("batch", "in", "-o", "out", *how, "1", "--diameter", "9")
    asked = workflows.batch("in", "out", model="bright")
    assert [one.objects for one in asked.images] == [one.objects for one in whole.images]
    assert (here / "out" / "objects.csv").read_text() == (here / "whole" / "objects.csv").read_text()
    assert sorted(path.name for path in (here / "out").iterdir() if not path.is_dir()) == ["images.csv", "objects.csv"]
    assert run("batch", "in", "-o", "out", *how, "1").exit_code == 1, "what is done is not done again, what failed is"
    assert "made with other settings (diameter)" in bad("batch", "in", "-o", "out", *how, "1", "--diameter", "9")
    assert "parts count from 1" in bad("batch", "in", "-o", "out", *how, "3")
    assert "--of needs --part" in bad("batch", "in", "-o", "out", "--of", "3")
