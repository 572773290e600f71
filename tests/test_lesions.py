"""Lesions from labels to table, report and scores: the verbs and the command line."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, RegistryError, SpecError

from .commands import bad, good

MM = ("millimeter",) * 3
SCALE = (3.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def volume():
    """An image and a map of two classes: two lesions of class 1, one of class 2, in voxels of 3 x 1 x 1 mm."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in (12, 48, 56)), indexing="ij"), -1) * SCALE
    classes = np.zeros(places.shape[:3], np.uint8)
    for center, radius, kind in (((16, 14, 15), 9, 1), ((18, 34, 18), 6, 1), ((18, 24, 42), 8, 2)):
        classes[np.linalg.norm(places - center, axis=-1) <= radius] = kind
    pixels = np.random.default_rng(0).normal(100, 8, classes.shape) + 60 * classes
    image = Image(pixels.astype(np.float32), "zyx", SCALE, MM, "scan")
    return image, Image(classes, "zyx", SCALE, MM, "classes")


@pytest.fixture
def here(tmp_path, monkeypatch, volume):
    """A folder with that image and its classes as files."""
    monkeypatch.chdir(tmp_path)
    workflows.write_image("scan.tif", volume[0])
    workflows.write_labels("classes.tif", volume[1])
    return tmp_path


# Scores


def test_evaluate_knows_the_size_of_voxels_and_settings(volume):
    truth = volume[1]
    guess = Image(np.where(truth.data == 2, 0, truth.data), "zyx", SCALE, MM)
    found = workflows.evaluate(truth, guess, ("overlap", "surfaces", "lesions"), tolerance=2.0)
    assert (found["dice_1"], found["dice_2"], found["nsd_1"], found["lesions_missed_2"]) == (1, 0, 1, 1)
    assert found["volume_error_2"] == pytest.approx((truth.data == 2).sum() * 3 / 1000)
    moved = Image(np.roll(truth.data, 2, axis=2), "zyx", SCALE, MM)
    near, far = (workflows.evaluate(truth, moved, ("surfaces",), tolerance=t)["nsd"] for t in (2.0, 1.0))
    assert near == 1
    assert far < 0.9
    with pytest.raises(SpecError, match=r"do not know spacing\. Their settings: nested, tolerance"):
        workflows.evaluate(truth, guess, ("surfaces",), spacing=1)
    with pytest.raises(RegistryError):
        workflows.evaluate(truth, guess, ("nonsense",))


def test_binary_makes_one_class_of_all_numbers(volume):
    many = np.arange(1000).reshape(10, 10, 10)
    assert workflows.evaluate(many, many, ("overlap",), binary=True)["dice"] == 1
    truth = volume[1]
    found = workflows.evaluate(truth, Image(truth.data > 0, "zyx", SCALE, MM), ("overlap",), binary=True)
    assert found["dice"] == 1
    assert "dice_1" not in found


def test_evaluate_on_the_command_line(here, volume):
    (here / "true").mkdir()
    (here / "found").mkdir()
    truth = volume[1]
    for name, keep in (("a", (1, 2)), ("b", (1,))):
        part = Image(np.where(np.isin(truth.data, keep), truth.data, 0), "zyx", SCALE, MM)
        workflows.write_labels(here / "true" / f"{name}.tif", truth)
        workflows.write_labels(here / "found" / f"{name}.tif", part)
    names = "overlap,surfaces,lesions"
    scores = json.loads(good("evaluate", "true", "found", "--metrics", names, "--tolerance", 2, "--json"))
    assert scores["images"] == 2
    assert (scores["dice_1"], scores["dice_2"]) == (1, 0.5)
    assert scores["lesion_sensitivity_2"] == 0.5
    same = json.loads(good("evaluate", "true/b.tif", "true/b.tif", "--metrics", "overlap", "--binary", "--json"))
    assert same["dice"] == 1
    assert "0.750" in good("evaluate", "true", "found", "--metrics", "overlap")
    assert "Choose one of" in bad("evaluate", "true", "found", "--metrics", "nonsense")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("evaluate", "a.tif", "a.tif", "--tracks", "--metrics", "overlap", "--binary"), "--metrics and --binary"),
        (("evaluate", "a.tif", "a.tif", "--errors", "e.csv", "--tolerance", 2), "--tolerance"),
        (("evaluate", "a.tif", "a.tif", "--tracks", "--local-workers", 2), "--local-workers"),
        (("measure", "a.tif", "-o", "a.csv", "--measure", "lesions", "--local-workers", 2), "--local-workers"),
        (("measure", "a.tif", "-o", "a.csv", "--series", 2), "--series"),
    ],
)
def test_options_that_would_change_nothing_are_refused(here, words, named):
    assert named in bad(*words)


def test_what_has_no_score_is_null(here):
    empty = Image(np.zeros((4, 5, 6), np.uint8), "zyx")
    some = Image(np.pad(np.ones((2, 2, 2), np.uint8), 1), "zyx")
    workflows.write_labels("empty.tif", empty)
    workflows.write_labels("some.tif", Image(np.pad(some.data, ((0, 0), (0, 1), (0, 2))), "zyx"))
    scores = json.loads(good("evaluate", "empty.tif", "some.tif", "--metrics", "overlap", "--json"))
    assert scores["volume_error_percent"] is None
    assert scores["dice"] == 0


# Tables


def test_a_map_of_classes_becomes_lesions_with_totals(volume):
    image, classes = volume
    found = workflows.measure_lesions(classes, image, classes=True, scores=image, organ=classes, quantity="SUV")
    assert found.table["class"].tolist() == [1, 1, 2]
    assert sorted(np.unique(found.labels.data)) == [0, 1, 2, 3]
    assert found.totals["lesions"].tolist() == [2, 1]
    assert found.totals["volume_ml"].sum() == pytest.approx((classes.data > 0).sum() * 3 / 1000)
    assert found.units["intensity_mean"] == "SUV"
    np.testing.assert_allclose(found.table["confidence"], found.table["intensity_mean"])
    # The measure by itself, as every other.
    plain = workflows.measure(found.labels, image, ("lesions",))
    np.testing.assert_array_equal(plain["longest_diameter"], found.table["longest_diameter"])


def test_measure_lesions_on_the_command_line(here, volume):
    said = good("measure", "classes.tif", "--measure", "lesions", "--classes", "--image", "scan.tif", "-o", "a.csv")
    table = workflows.read_table("a.csv")
    expected = workflows.measure_lesions(volume[1], volume[0], classes=True).table
    assert list(table) == list(expected)
    for name, column in table.items():
        np.testing.assert_allclose(column.astype(float), expected[name].astype(float), rtol=1e-6)
    assert "Lesions" in said
    assert f"{expected['volume_ml'].sum():.5g} ml" in said
    # Two labels, one a class: without --classes each is one lesion.
    good("measure", "classes.tif", "--measure", "lesions", "-o", "b.csv")
    assert workflows.read_table("b.csv")["index"].tolist() == [1, 2]
    assert "add --measure lesions" in bad("measure", "classes.tif", "--classes", "-o", "c.csv")
    assert "--before" in bad("measure", "classes.tif", "--measure", "lesions", "--changes", "d.csv", "-o", "c.csv")
    assert "Choose one of" in bad("measure", "classes.tif", "--measure", "nonsense", "-o", "c.csv")
    assert not (here / "c.csv").exists()


def test_organ_scores_and_growth_on_the_command_line(here, volume):
    classes = volume[1]
    organ = Image(np.ones(classes.shape, np.uint8), "zyx", SCALE, MM)
    organ.data[:, :, :4] = 0
    workflows.write_labels("organ.tif", organ)
    workflows.write_image("scores.tif", Image(np.full(classes.shape, 0.5, np.float32), "zyx", SCALE, MM))
    smaller = Image(np.where(classes.data == 2, 0, classes.data), "zyx", SCALE, MM)
    workflows.write_labels("before.tif", smaller)
    said = good(
        "measure", "classes.tif", "--measure", "lesions", "--classes", "--organ", "organ.tif", "--scores",
        "scores.tif", "--before", "before.tif", "--changes", "changes.csv", "-o", "a.csv",
    )  # fmt: skip
    table, changes = workflows.read_table("a.csv"), workflows.read_table("changes.csv")
    assert table["confidence"].tolist() == [0.5] * 3
    assert table["organ_distance"][0] < table["organ_distance"][1] < table["organ_distance"][2]
    assert changes["status"].tolist() == ["matched", "matched", "new"]
    assert changes["volume_change"][:2].tolist() == [0, 0]
    assert "Volume change" in said
    assert re.search(r"Class 1 +sum of diameters ([\d.]+) to \1 \(\+0.0 %\)\n", said)
    assert re.search(r"Class 2 +sum of diameters 0 to [\d.]+\n", said)
    assert "2 targets chosen among 2 classes" in said


def test_tables_as_parquet(here, volume):
    import pyarrow.parquet

    good("measure", "classes.tif", "--measure", "lesions", "-o", "a.parquet")
    good("measure", "classes.tif", "--measure", "lesions", "-o", "a.csv")
    table, expected = pyarrow.parquet.read_table("a.parquet").to_pydict(), workflows.read_table("a.csv")
    assert list(table) == list(expected)
    assert all(table[name] == column.tolist() for name, column in expected.items())
    assert "exists" in bad("measure", "classes.tif", "-o", "a.parquet")


def test_parquet_needs_its_package(here, monkeypatch):
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else known(name))
    assert "napari-unet-suite[parquet]" in bad("measure", "classes.tif", "-o", "a.parquet")
    assert not (here / "a.parquet").exists()


# Reports


def pictures(text):
    """Return the pictures of a page."""
    import base64
    import io
    import re

    import PIL.Image

    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [PIL.Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


def colors(picture):
    return {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}


def test_a_report_holds_pictures_and_numbers_and_no_names(here, volume):
    image, classes = volume
    said = good(
        "report", "scan.tif", "classes.tif", "--classes", "-o", "r.html", "--title", "A <study>", "--quantity", "HU"
    )
    assert "r.html" in said
    text = (here / "r.html").read_text("utf-8")
    assert "Not for clinical use" in text
    assert "A &lt;study&gt;" in text
    assert "scan" not in text
    assert "classes.tif" not in text
    # Nothing is fetched from anywhere.
    assert "http" not in text
    assert "<script" not in text
    found = workflows.measure_lesions(classes, image, classes=True)
    shown = pictures(text)
    assert len(shown) == 1 + 3
    for picture in shown[1:]:
        assert max(picture.size) == 300
        assert any(b > 200 and r < 80 for r, _, b in colors(picture))  # the longest diameter
        assert any(r > 200 and b > 200 and g < 140 for r, g, b in colors(picture))  # the one across
    for row in range(3):
        assert f"{found.table['longest_diameter'][row]:.1f} × {found.table['short_diameter'][row]:.1f} mm" in text
    assert "Totals" in text
    assert "Mean (HU)" in text
    assert "exists" in bad("report", "scan.tif", "classes.tif", "-o", "r.html")
    assert ".html or .pdf" in bad("report", "scan.tif", "classes.tif", "-o", "r.docx")


def test_a_report_tells_what_has_changed(here, volume):
    classes = volume[1]
    workflows.write_labels("before.tif", Image(np.where(classes.data == 2, 0, classes.data), "zyx", SCALE, MM))
    good("report", "scan.tif", "classes.tif", "--classes", "--before", "before.tif", "-o", "r.html")
    text = (here / "r.html").read_text("utf-8")
    assert "Found again<b>2</b>" in text
    assert "New<b>1</b>" in text
    assert "<td>new</td>" in text
    assert "PD (progressive disease; " in text
    assert "Not a diagnosis" in text
    assert "Sums of<b>all 2 classes</b>" in text
    assert re.search(r"<h3>Class by class</h3><table><thead><tr><th>Class</th>.*<tr><td>2</td>", text)


def words(file):
    """Return what is written on a page of PDF, and how many pages and pictures the file has."""
    data = file.read_bytes()
    table = data[int(data.split(b"startxref\n")[1].split(b"\n")[0]) :].split(b"\n")[3:]
    places = [int(line[:10]) for line in table if line.endswith(b" n ")]
    assert [data[place:].split()[0] for place in places] == [b"%d" % k for k in range(1, len(places) + 1)]
    start = data.index(b"stream\n") + len(b"stream\n")
    drawn = zlib.decompressobj().decompress(data[start:])
    lines = [line.decode("cp1252") for line in re.findall(rb"Td \((.*)\) Tj", drawn)]
    return lines, data.count(b"/Type /Page "), data.count(b"/Subtype /Image")


def test_a_report_is_one_page_of_pdf_too(here, volume):
    image, classes = volume
    workflows.write_labels("before.tif", Image(np.where(classes.data == 2, 0, classes.data), "zyx", SCALE, MM))
    base = ("report", "scan.tif", "classes.tif", "--classes", "--before", "before.tif", "--title", "A (study)")
    good(*base, "-o", "r.pdf")
    lines, pages, shown = words(here / "r.pdf")
    assert (pages, shown) == (1, 4)
    text = " ".join(lines)
    assert lines[0] == "A \\(study\\)"
    assert "Not for clinical use" in text
    assert "scan.tif" not in text
    found = workflows.measure_lesions(classes, image, classes=True)
    for row in range(3):
        assert f"{found.table['longest_diameter'][row]:.1f} × {found.table['short_diameter'][row]:.1f} mm" in text
    assert "PD \\(progressive disease; " in text
    assert "all 2 classes" in text
    first = (here / "r.pdf").read_bytes()
    good(*base, "-o", "again.pdf")
    assert (here / "again.pdf").read_bytes() == first  # no date, no name of a file


def test_many_lesions_stay_on_one_page(tmp_path):
    labels = np.zeros((3, 300, 300), np.uint16)
    for k in range(200):
        labels[1, 20 * (k // 14) + 2 : 20 * (k // 14) + 9, 20 * (k % 14) + 2 : 20 * (k % 14) + 12] = k + 1
    image = Image(labels, "zyx", SCALE, MM)
    found = workflows.measure_lesions(image, image)
    workflows.report_lesions(tmp_path / "r.pdf", found, image, growth=workflows.compare_lesions(found, found))
    lines, pages, _ = words(tmp_path / "r.pdf")
    assert pages == 1
    left = next(int(line.split()[0]) for line in lines if line.endswith("more are in the table that can be saved."))
    assert 150 < left < 200
    assert "SD \\(stable disease" in " ".join(lines)


@pytest.mark.parametrize("kind", ["2D", "movie", "channels", "nothing", "turned"])
def test_reports_of_other_images(tmp_path, volume, kind):
    image, classes = volume
    if kind == "2D":
        image, classes = (Image(one.data[5], "yx", SCALE[1:], MM[1:]) for one in (image, classes))
    elif kind == "movie":
        image, classes = (
            Image(one.data[:4], "tyx", (1.0, *SCALE[1:]), ("second", *MM[1:])) for one in (image, classes)
        )
    elif kind == "channels":
        image = Image(np.stack([image.data, -image.data]), "czyx", (1.0, *SCALE), ("pixel", *MM))
    elif kind == "nothing":
        classes = Image(classes.data * 0, "zyx", SCALE, MM)
    else:
        image, classes = (Image(one.data.transpose(2, 1, 0), "xyz", SCALE[::-1], MM) for one in (image, classes))
    found = workflows.measure_lesions(classes, image, classes=True)
    workflows.report_lesions(tmp_path / "r.html", found, image)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert len(pictures(text)) == 1 + min(5, len(found.table["index"]))
    assert f"Lesions<b>{len(found.table['index'])}</b>" in text


def test_a_report_needs_the_image_of_the_labels(tmp_path, volume):
    image, classes = volume
    found = workflows.measure_lesions(classes)
    with pytest.raises(AxesError, match="same pixels"):
        workflows.report_lesions(tmp_path / "r.html", found, Image(image.data[:4], "zyx"))
    assert not (tmp_path / "r.html").exists()


def test_time_compares_lesions(volume):
    classes = volume[1]
    later = Image(np.roll(classes.data, 2, axis=2), "zyx", SCALE, MM)
    growth = workflows.compare_lesions(*(workflows.measure_lesions(one, classes=True) for one in (classes, later)))
    assert growth.changes["status"].tolist() == ["matched"] * 3
    np.testing.assert_allclose(growth.changes["moved"], 2)
    assert growth.summary["volume_change"] == 0


# Files of hospitals


@pytest.fixture
def scan(here, volume):
    """Image and classes as NIfTI, whose first axis runs to the left and whose origin is somewhere."""
    import nibabel

    affine = np.array([[-1.0, 0, 0, 70], [0, -1.0, 0, 40], [0, 0, 3.0, -200], [0, 0, 0, 1]])
    for name, one in zip(("scan", "classes"), volume, strict=True):
        nibabel.save(nibabel.Nifti1Image(np.asarray(one.data).T, affine), here / f"{name}.nii.gz")
    return affine


def test_lesions_of_nifti_have_millimeters_and_places_in_the_patient(scan, here, volume):
    good("measure", "classes.nii.gz", "--measure", "lesions", "--classes", "--image", "scan.nii.gz", "-o", "n.csv")
    table = workflows.read_table("n.csv")
    expected = workflows.measure_lesions(volume[1], volume[0], classes=True).table
    np.testing.assert_allclose(np.sort(table["volume_ml"]), np.sort(expected["volume_ml"]), rtol=1e-5)
    np.testing.assert_allclose(np.sort(table["longest_diameter"]), np.sort(expected["longest_diameter"]), rtol=1e-5)
    # RAS of NIfTI to LPS: x and y change their sign.
    x, y, z = (expected[f"centroid_{a}"] for a in "xyz")
    np.testing.assert_allclose(np.sort(table["patient_x"]), np.sort(x - 70), rtol=1e-4)
    np.testing.assert_allclose(np.sort(table["patient_y"]), np.sort(y - 40), rtol=1e-4)
    np.testing.assert_allclose(np.sort(table["patient_z"]), np.sort(z - 200), rtol=1e-4)
    for a, off in (("x", -70), ("y", -40), ("z", -200)):
        for end in (0, 1):
            box = np.sort(expected[f"box_{a}{end}"] + off)
            np.testing.assert_allclose(np.sort(table[f"patient_box_{a}{end}"]), box, rtol=1e-4)
    lesions = ("measure", "classes.nii.gz", "--measure", "lesions", "--classes", "--before", "classes.nii.gz")
    assert "--changes would replace what --output writes" in bad(*lesions, "--changes", "c.csv", "-o", "c.csv")
    assert "--areas would replace" in bad("change", "classes.nii.gz", "scan.nii.gz", "-o", "c.csv", "--areas", "c.csv")
    good("report", "scan.nii.gz", "classes.nii.gz", "--classes", "-o", "n.html")
    assert "scan" not in (here / "n.html").read_text("utf-8")
    scores = json.loads(good("evaluate", "classes.nii.gz", "classes.nii.gz", "--metrics", "surfaces", "--json"))
    assert scores["nsd"] == 1


def test_volumes_of_other_places_are_compared_in_the_patient_and_never_mixed(scan, here):
    import nibabel

    first = nibabel.load("classes.nii.gz")
    moved = scan.copy()
    moved[:3, 3] += (5, 7, 9)
    # The same lesions, cut out of the same patient 5, 7 and 3 voxels later: nothing has moved.
    values = np.zeros(first.shape, np.uint8)
    values[5:, 7:, :-3] = np.asarray(first.dataobj)[:-5, :-7, 3:]
    nibabel.save(nibabel.Nifti1Image(values, moved), "later.nii.gz")
    good("measure", "later.nii.gz", "--measure", "lesions", "--classes", "--before", "classes.nii.gz", "--changes",
         "c.csv", "-o", "l.csv")  # fmt: skip
    changes = workflows.read_table("c.csv")
    assert changes["status"].tolist() == ["matched"] * 3
    np.testing.assert_allclose(changes["moved"], 0, atol=1e-3)
    said = bad("measure", "later.nii.gz", "--measure", "lesions", "--image", "scan.nii.gz", "-o", "x.csv")
    assert "another grid" in said
    assert "another grid" in bad("evaluate", "classes.nii.gz", "later.nii.gz", "--metrics", "overlap")


def test_what_intensities_are_is_what_the_image_says(volume):
    from napari_unet.core.anatomy import stand_up

    affine = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    from dataclasses import replace

    place = replace(stand_up(affine, volume[0].shape[::-1]), quantity="SUV (body weight)")
    found = workflows.measure_lesions(volume[1], replace(volume[0], anatomy=place), classes=True)
    assert found.units["intensity_mean"] == "SUV (body weight)"


@pytest.mark.parametrize("shape", ["ring", "hook", "corner"])
def test_a_number_stands_in_its_own_lesion(shape):
    from napari_unet.io._key_images import inmost

    y, x = np.mgrid[:40, :50]
    far = np.hypot(y - 20, x - 20)
    mask = {
        "ring": (far < 15) & (far > 8),  # its middle is another's place
        "hook": ((x < 6) | (y > 33)) & (x < 40),
        "corner": (y > 36) & (x > 46),
    }[shape]
    row, column = inmost(mask)
    assert mask[row, column]
    inside = np.pad(mask, 1)[row : row + 3, column : column + 3]
    assert inside.all()


def test_pictures_of_a_report_have_one_brightness_and_name_the_sides(scan, volume):
    from napari_unet.io._key_images import brightness, draw_lesion, draw_view

    image, classes = workflows.read_image("scan.nii.gz"), workflows.read_labels("classes.nii.gz")
    found = workflows.measure_lesions(classes, image, classes=True)
    low, high = seen = brightness(found, image, range(3))
    assert 75 < low < 110  # the background
    assert 200 < high < 245  # lesions of class 2, which are on one picture only
    pictures = [np.asarray(draw_lesion(found, image, row, "mm", seen)) for row in range(3)]
    plain = workflows.measure_lesions(volume[1], volume[0], classes=True)
    others = [np.asarray(draw_lesion(plain, volume[0], row, "mm", seen)) for row in range(3)]
    for picture, other in zip(pictures, others, strict=True):
        at = np.argwhere((picture != other).any(-1))
        assert len(at)  # R and L, where a patient has sides
        width = picture.shape[1]
        assert ((at[:, 1] < 20) | (at[:, 1] > width - 20)).all()
    corners = [picture[2, 2].astype(float) for picture in pictures]
    assert np.ptp(corners) < 120  # the same noise around all of them
    ct = replace(image, anatomy=replace(image.anatomy, modality="CT"))
    assert brightness(found, ct, range(3)) == (-160, 240)
    view = np.asarray(draw_view(found, ct))
    assert np.median(view) == pytest.approx(255 * 260 / 400, abs=6)  # 100 HU
