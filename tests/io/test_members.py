"""Files that hold many images, and what is found in folders."""

from __future__ import annotations

import ntpath
from pathlib import PureWindowsPath

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.errors import ImageError, OutputError
from napari_unet.io import folders
from napari_unet.io.batches import Results
from napari_unet.io.contents import read_contents
from napari_unet.io.folders import find_images, folder_of, images_of, label_names, name_apart
from napari_unet.io.images import read_image
from napari_unet.io.ledger import stamp
from napari_unet.io.members import choose_series, images_in, plate_images, well_of

WELLS = {"B/3": ("0", "1"), "A/10": ("0",), "C/1": ()}


def write_field(group, value):
    group.create_array("s0", data=np.full((6, 8), value, np.uint8))
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    multiscale = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": []}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


def write_plate(place, named=WELLS, wrap=lambda told: {"ome": told}):
    """Write a plate of three wells, of which the last has no field; the values of images count them from 1."""
    plate = zarr.open_group(place, mode="w")
    plate.attrs.update(wrap({"version": "0.5", "plate": {"wells": [{"path": path} for path in named]}}))
    value = 0
    for path, fields in WELLS.items():
        well = plate.create_group(path)
        well.attrs.update(wrap({"version": "0.5", "well": {"images": [{"path": name} for name in fields]}}))
        for name in fields:
            value += 1
            write_field(well.create_group(name), value)
    return place


@pytest.mark.parametrize("wrap", [lambda told: {"ome": told}, lambda told: told], ids=["0.5", "0.4"])
def test_a_plate_is_its_fields(tmp_path, wrap):
    place = write_plate(tmp_path / "plate.ome.zarr", wrap=wrap)
    assert plate_images(place) == ["B/3/0", "B/3/1", "A/10/0"]
    assert [int(np.asarray(read_image(file).data)[0, 0]) for file in images_in(place)] == [1, 2, 3]
    assert [well_of(file) for file in images_in(place)] == ["B3", "B3", "A10"]
    assert [each.name for each in images_in(place / "B" / "3")] == ["0", "1"], "so is a well"
    assert well_of(place) == ""
    images, labels = read_contents(place)
    assert [image.name for image in images] == ["plate B/3/0", "plate B/3/1", "plate A/10/0"]
    assert not labels
    assert read_contents(images[2].source)[0][0].shape == (6, 8)


def test_a_plate_is_no_image_of_its_own(tmp_path):
    with pytest.raises(ImageError, match=r"is a plate of many images.*napari-unet batch"):
        read_image(write_plate(tmp_path / "plate.zarr"))


def test_what_a_plate_names_and_does_not_hold_is_left_out(tmp_path):
    assert plate_images(write_plate(tmp_path / "p.zarr", {**WELLS, "H/12": ()})) == ["B/3/0", "B/3/1", "A/10/0"]
    with pytest.raises(ImageError, match="not inside it"):
        plate_images(write_plate(tmp_path / "q.zarr", {"../secret": ()}))
    zarr.open_group(tmp_path / "r.zarr", mode="w").attrs["plate"] = {"wells": [{"row": 1}]}
    with pytest.raises(ImageError, match="could not be read as a plate"):
        plate_images(tmp_path / "r.zarr")
    assert images_in(tmp_path / "r.zarr") == [tmp_path / "r.zarr"], "said when it is opened"


def write_stage(file, positions):
    with tifffile.TiffWriter(file) as writer:
        for n in range(positions):
            writer.write(np.full((16, 16), n, np.uint8), metadata={"axes": "YX"})


def test_folders_with_files_of_many_images(tmp_path):
    write_plate(tmp_path / "plate.ome.zarr")
    write_stage(tmp_path / "stage.ome.tif", 2)
    write_stage(tmp_path / "one.tif", 1)
    (tmp_path / "broken.tif").write_bytes(b"none")
    (tmp_path / ".trash").mkdir()
    write_stage(tmp_path / ".trash" / "old.tif", 1)
    collection = zarr.open_group(tmp_path / "sub" / "scan.zarr", mode="w")
    for n in range(2):
        write_field(collection.create_group(str(n)), n)
    found = [file.relative_to(tmp_path).as_posix() for file in find_images(tmp_path)]
    assert found == [
        "broken.tif", "one.tif", "plate.ome.zarr/B/3/0", "plate.ome.zarr/B/3/1", "plate.ome.zarr/A/10/0",
        "stage.ome.tif/1", "stage.ome.tif/2", "sub/scan.zarr/0", "sub/scan.zarr/1",
    ]  # fmt: skip
    assert label_names(found) == [
        "broken", "one", "plate/B/3/0", "plate/B/3/1", "plate/A/10/0", "stage-1", "stage-2", "sub/scan/0", "sub/scan/1",
    ]  # fmt: skip
    assert int(np.asarray(read_image(tmp_path / "stage.ome.tif" / "2").data)[0, 0]) == 1


def test_one_of_several_images_is_called_by_its_file(tmp_path, monkeypatch):
    plate, stage = write_plate(tmp_path / "plate.ome.zarr"), tmp_path / "stage.ome.tif"
    write_stage(stage, 2)
    collection = zarr.open_group(tmp_path / "scan.zarr", mode="w")
    for n in range(2):
        write_field(collection.create_group(str(n)), n)
    for source, names in {
        plate: ["B/3/0", "B/3/1", "A/10/0"],
        plate / "B" / "3": ["B/3/0", "B/3/1"],
        plate / "B" / "3" / "1": ["B/3/1"],
        stage: ["stage.ome.tif/1", "stage.ome.tif/2"],
        stage / "2": ["stage.ome.tif/2"],
        tmp_path / "scan.zarr": ["scan.zarr/0", "scan.zarr/1"],
    }.items():
        files = [files[0] for files in images_of(source)]
        assert name_apart(files, folder_of(source, images_of(source))) == names
        assert name_apart(files) == names
    assert name_apart([stage / "1", tmp_path / "one.tif"]) == ["stage.ome.tif/1", "one.tif"]
    monkeypatch.chdir(tmp_path)
    found = images_of("stage.ome.tif")
    assert name_apart([file for (file,) in found], folder_of("stage.ome.tif", found)) == [
        "stage.ome.tif/1", "stage.ome.tif/2",
    ]  # fmt: skip


def test_one_of_several_images_is_chosen(tmp_path, dicom_series):
    pytest.importorskip("pydicom")
    write_stage(tmp_path / "stage.ome.tif", 2)
    assert choose_series(tmp_path / "stage.ome.tif", 2) == tmp_path / "stage.ome.tif" / "2"
    with pytest.raises(ImageError, match=r"has no series 3.*\(--series\):\n  1 "):
        choose_series(tmp_path / "stage.ome.tif", 3)
    values = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    for number in (1, 2):
        dicom_series(tmp_path / "scans" / str(number), values + number, SeriesNumber=number)
    chosen = read_image(choose_series(tmp_path / "scans", 2))
    assert np.array_equal(np.asarray(chosen.data), np.asarray(read_image(tmp_path / "scans", series=2).data))
    with pytest.raises(ImageError, match=r"which '.*' is not. Give a folder in it"):
        choose_series(write_plate(tmp_path / "plate.zarr"), 1)


def test_names_of_labels_tell_images_apart():
    assert label_names(["a.tif", "a.png", "day.1/a.tif", "b.v2.tif"]) == ["a.tif", "a.png", "day.1/a", "b.v2"]
    # Many disks keep one file under two names that differ in case.
    assert label_names(["a.tif", "A.png", "b.tif"]) == ["a.tif", "A.png", "b"]


def test_a_change_of_the_file_is_one_of_its_images(tmp_path):
    write_stage(tmp_path / "stage.ome.tif", 2)
    before = stamp([tmp_path / "stage.ome.tif" / "2"])
    assert before == stamp([tmp_path / "stage.ome.tif"])
    write_stage(tmp_path / "stage.ome.tif", 3)
    assert stamp([tmp_path / "stage.ome.tif" / "2"]) != before
    assert stamp([tmp_path / "none.tif" / "2"]) == ("", "")


def test_nothing_to_do(tmp_path):
    with pytest.raises(ImageError, match="holds no images"):
        images_of(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        images_of([tmp_path / "none"])


def test_one_program_at_a_time_writes_results(tmp_path):
    other = Results(tmp_path / "r", {}, ".tif")
    with Results(tmp_path / "r", {}, ".tif"), pytest.raises(OutputError, match="right now"):
        other.__enter__()
    with Results(tmp_path / "r", {}, ".tif"):
        pass
    with pytest.raises(OutputError, match=r"other settings \(format\)"), Results(tmp_path / "r", {}, ".png"):
        pass
    with pytest.raises(OutputError, match=r"not as '\.jpg'"):
        Results(tmp_path / "r", {}, ".jpg")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        Results(tmp_path / "file", {}, ".tif")


def test_a_part_is_done_while_others_do_theirs(tmp_path):
    with Results(tmp_path, {}, ".tif", part=(1, 2)), Results(tmp_path, {}, ".tif", part=(2, 2)):
        for other in (None, (2, 2)):
            with pytest.raises(OutputError, match="right now"):
                Results(tmp_path, {}, ".tif", part=other).__enter__()


def test_series_of_scans_are_images(tmp_path, dicom_series):
    pytest.importorskip("pydicom")
    values = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    dicom_series(tmp_path / "patient 1" / "1.2.840", values)
    dicom_series(tmp_path / "patient 2", values, SeriesNumber=1)
    for file in dicom_series(tmp_path / "patient 2" / "later", values + 1, SeriesNumber=2):
        file.rename(tmp_path / "patient 2" / f"later-{file.name}")
    (tmp_path / "patient 2" / "later").rmdir()
    found = find_images(tmp_path)
    assert found[0] == tmp_path / "patient 1" / "1.2.840"
    assert label_names(["patient 1/1.2.840"]) == ["patient 1/1.2.840"]
    assert len(found) == 3
    assert all(file.parent == tmp_path / "patient 2" for file in found[1:])
    assert [read_image(file).shape for file in found] == [(4, 3, 2)] * 3
    assert {int(np.asarray(read_image(file).data).min()) for file in found[1:]} == {0, 1}
    (tmp_path / "cells.czi").write_bytes(b"some")
    assert tmp_path / "cells.czi" in find_images(tmp_path), "said to need a plugin, not left out"


def test_images_of_several_drives_are_told_apart_by_them(monkeypatch):
    class Drive(PureWindowsPath):
        def resolve(self):
            return self

        absolute = resolve

        def is_file(self):
            return False

        is_dir = is_file

    monkeypatch.setattr(folders.os.path, "commonpath", ntpath.commonpath)
    monkeypatch.setattr(folders, "Path", Drive)
    files = [Drive(name) for name in ("C:/data/a.tif", "D:/day 1/a.tif", "//server/share/a.tif")]
    assert name_apart(files) == ["C/data/a.tif", "D/day 1/a.tif", "server-share/a.tif"]
    assert name_apart([Drive("C:/data/a/x.tif"), Drive("C:/data/b/x.tif")]) == ["a/x.tif", "b/x.tif"]


def test_labels_that_came_earlier_are_not_replaced_by_those_of_a_name_in_other_letters(tmp_path):
    for name in ("a.tif", "A.png"):
        tifffile.imwrite(tmp_path / name, np.zeros((4, 4), np.uint8))
    with Results(tmp_path / "out", {}, ".ome.zarr") as results:
        results._ledger.rows["a.tif"] = {"image": "a.tif", "labels": "labels/a.ome.zarr", "files": "../a.tif"}
        (place,) = results.plan([((tmp_path / "A.png",), "A.png")])
    assert place.name == "A.png.ome.zarr"
