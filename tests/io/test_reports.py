"""The report of an inspection grows row by row, and survives being killed."""

from __future__ import annotations

import csv
import os

import pytest

from napari_unet.core.defects import Defect, Verdict
from napari_unet.core.errors import OutputError
from napari_unet.io.reports import Report, images_table

CRACK = Defect("crack", 12, 5, 1.25, 2, (0, 1, 2, 3), area_mm2=0.12, length_mm=0.5)
SETTINGS = {"model": ["abc"], "rule": "count > 0"}


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_are_there_at_once(tmp_path):
    path = tmp_path / "new" / "report.csv"
    report = Report(path, SETTINGS)
    report.add(Verdict("a.png", "fail", "count > 0", (CRACK, CRACK), 0.5))
    assert [row["defect"] for row in rows(path)] == ["1", "2"]
    row = rows(path)[0]
    assert (row["image"], row["class"], row["area_mm2"], row["y"], row["confidence"]) == (
        "a.png",
        "crack",
        "0.12",
        "1.25",
        "",
    )
    report.add(Verdict("b, c.png", "pass"))
    report.add(Verdict("d.png", "error", 'cannot be "read"'))
    said = rows(images_table(path))
    assert [(one["image"], one["verdict"], one["defects"]) for one in said] == [
        ("a.png", "fail", "2"), ("b, c.png", "pass", "0"), ("d.png", "error", "0"),
    ]  # fmt: skip
    found = report.summary(["a.png", "b, c.png", "d.png"])
    assert (found.passed, found.failed, found.errors, found.defects, found.code) == (1, 1, 1, 2, 2)


@pytest.mark.parametrize("torn", ["b.png,1,cra", "b.png,1,crack,,1,2,3,4,5,6,,1,2,3,4\n", ""])
def test_what_was_torn_is_cut_off(tmp_path, torn):
    path, file = tmp_path / "report.csv", tmp_path / "a.png"
    file.write_bytes(b"123")
    Report(path, SETTINGS).add(Verdict("a.png", "fail", "x", (CRACK,)), file)
    before = path.read_text(), images_table(path).read_text()
    path.write_text(before[0] + torn)
    images_table(path).write_text(before[1] + torn[:7])
    again = Report(path, SETTINGS)
    assert (path.read_text(), images_table(path).read_text()) == before
    assert again.has("a.png", file)
    assert not again.has("b.png")


def test_a_changed_image_is_inspected_again(tmp_path):
    path, file = tmp_path / "report.csv", tmp_path / "a.png"
    file.write_bytes(b"123")
    report = Report(path, SETTINGS)
    report.add(Verdict("a.png", "fail", "x", (CRACK,)), file)
    report.add(Verdict("b.png", "error", "x"))
    file.write_bytes(b"1234")
    report = Report(path, SETTINGS)
    assert not report.has("a.png", file)
    assert not report.has("b.png"), "errors are tried again"
    report.add(Verdict("a.png", "pass"), file)
    assert rows(path) == []
    assert [one["verdict"] for one in rows(images_table(path))] == ["error", "pass"]


def test_every_file_of_an_image_may_change(tmp_path):
    path, files = tmp_path / "report.csv", [tmp_path / name for name in ("a.png", "b.png")]
    for file in files:
        file.write_bytes(b"123")
    Report(path, SETTINGS).add(Verdict("a.png", "pass"), *files)
    report = Report(path, SETTINGS)
    assert report.has("a.png", *files)
    assert not report.has("a.png", files[0])
    files[1].write_bytes(b"1234")
    assert not report.has("a.png", *files)
    files[1].unlink()
    assert not report.has("a.png", *files)


def test_a_change_deep_in_a_folder_is_noticed(tmp_path):
    path, image = tmp_path / "report.csv", tmp_path / "a.zarr"
    (image / "0" / "c").mkdir(parents=True)
    (image / "0" / "c" / "0").write_bytes(b"123")
    Report(path, SETTINGS).add(Verdict("a.zarr", "pass"), image)
    assert Report(path, SETTINGS).has("a.zarr", image)
    stamp = (image / "0" / "c" / "0").stat()
    (image / "0" / "c" / "0").write_bytes(b"321")
    os.utime(image / "0" / "c" / "0", ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1_000_000_000))
    assert not Report(path, SETTINGS).has("a.zarr", image)


def test_an_image_of_the_same_name_elsewhere_is_refused(tmp_path):
    path, files = tmp_path / "report.csv", [tmp_path / day / "a.png" for day in ("monday", "tuesday")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"123")
    Report(path, SETTINGS).add(Verdict("a.png", "pass"), files[0])
    report = Report(path, SETTINGS)
    report.plan([("a.png", [tmp_path / "monday" / ".." / "monday" / "a.png"]), ("b.png", [files[1]])])
    with pytest.raises(OutputError, match=r"has an image 'a.png' already: 'monday/a.png', not 'tuesday/a.png'"):
        report.plan([("a.png", [files[1]])])
    assert rows(images_table(path))[0]["files"] == "monday/a.png"
    moved = tmp_path / "moved"
    moved.mkdir()
    for each in ("monday", "report.csv", "report.images.csv", "report.settings.json"):
        (tmp_path / each).rename(moved / each)
    Report(moved / "report.csv", SETTINGS).plan([("a.png", [moved / "monday" / "a.png"])])


def test_an_image_that_is_asked_for_in_another_way_takes_its_defects_along(tmp_path):
    path, file = tmp_path / "report.csv", tmp_path / "stage.tif"
    file.write_bytes(b"123")
    Report(path, SETTINGS).add(Verdict("1", "fail", "", (CRACK, CRACK)), file)
    report = Report(path, SETTINGS)
    report.plan([("stage.tif/1", [file])])
    assert report.has("stage.tif/1", file)
    assert [row["image"] for row in rows(images_table(path))] == ["stage.tif/1"]
    Report(path, SETTINGS)
    assert [(row["image"], row["defect"]) for row in rows(path)] == [("stage.tif/1", "1"), ("stage.tif/1", "2")]


def test_another_inspection_is_not_mixed_in(tmp_path):
    path = tmp_path / "report.csv"
    Report(path, SETTINGS).add(Verdict("a.png", "pass"))
    with pytest.raises(OutputError, match=r"with other settings \(rule\)"):
        Report(path, SETTINGS | {"rule": "area > 3"})
    assert Report(path, SETTINGS | {"rule": "area > 3"}, overwrite=True).summary([]).passed == 0


def test_a_setting_that_failed_everywhere_can_be_put_right(tmp_path):
    path, known = tmp_path / "report.csv", SETTINGS | {"pixel_size": 0.05}
    Report(path, SETTINGS).add(Verdict("a.png", "error", "no size of a pixel"))
    Report(path, known).add(Verdict("a.png", "fail", "count > 0", (CRACK,)))
    assert [row["verdict"] for row in rows(images_table(path))] == ["fail"]
    Report(path, known).add(Verdict("b.png", "error", "damaged"))
    with pytest.raises(OutputError, match="other settings"):  # of one image there is something
        Report(path, SETTINGS)


def test_what_is_no_report_is_not_replaced(tmp_path):
    (tmp_path / "other.csv").write_text("mine")
    with pytest.raises(OutputError, match="made by something else"):
        Report(tmp_path / "other.csv", SETTINGS)
    assert (tmp_path / "other.csv").read_text() == "mine"
    with pytest.raises(OutputError, match=r"ends in \.csv"):
        Report(tmp_path / "report.txt", SETTINGS)
