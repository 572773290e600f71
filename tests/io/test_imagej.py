"""ROIs that somebody has drawn in ImageJ, as labels: the pixels that ImageJ fills."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiwrite

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, SpecError
from napari_unet.io import drawings, imagej
from napari_unet.io.labels import read_labels
from napari_unet.io.pairs import find_examples, match_labels, read_judged
from napari_unet.io.regions import read_region
from napari_unet.io.regrid import regrid

from ..commands import bad, good

FLAT = Image(np.zeros((60, 90), np.uint8), "yx")
STACK = Image(np.zeros((4, 20, 30), np.uint8), "zyx")
# Saved and filled by ImageJ 1.52i, in an image of 70 rows and 80 columns: zlib, base 85; the pixels as bits.
FILLED = json.loads(Path(__file__).with_name("imagej_rois.json").read_text("utf-8"))
BOX = [[2, 3], [9, 3], [9, 8], [2, 8]]


def traced(corners: Any, kind: ROI_TYPE = ROI_TYPE.TRACED, **said: Any) -> ImagejRoi:
    """Return the ROI of an outline."""
    roi = ImagejRoi.frompoints(np.asarray(corners), name=said.pop("name", "0005-0005"))
    roi.roitype, roi.options = kind, roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    for name, value in said.items():
        setattr(roi, name, value)
    return roi


def boxed(kind: ROI_TYPE, top: int, left: int, bottom: int, right: int, **said: Any) -> ImagejRoi:
    """Return a ROI that is known by the box around it."""
    return ImagejRoi(roitype=kind, top=top, left=left, bottom=bottom, right=right, **{"name": "a"} | said)


def saved(folder: Path, *rois: ImagejRoi, name: str = "RoiSet.zip") -> Path:
    """Write a set of ROIs, or one."""
    file = folder / name
    file.unlink(missing_ok=True)
    if name.endswith(".roi"):
        file.write_bytes(rois[0].tobytes())
    else:
        roiwrite(file, list(rois), name=[f"{number:04d}-{roi.name}" for number, roi in enumerate(rois)])
    return file


def drawn(file: Path, like: Image = FLAT) -> npt.NDArray[np.int32]:
    return np.asarray(read_labels(file, like=like).data)


def as_imagej(ring: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Fill an outline as ImageJ documents it, pixel by pixel.

    Coordinates are those of corners. In the row of a pixel's center, edges reach from their upper end to, without it,
    their lower; centers on a left boundary are outside, on a right one inside.
    """
    found = np.zeros(shape, bool)
    for y in range(shape[0]):
        crossed = []
        for (x1, y1), (x2, y2) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            (ya, xa), (yb, xb) = sorted([(y1, x1), (y2, x2)])
            if ya <= y + 0.5 < yb:
                crossed.append(xa + (y + 0.5 - ya) * (xb - xa) / (yb - ya))
        crossed.sort()
        for left, right in zip(crossed[::2], crossed[1::2], strict=True):
            centers = np.arange(shape[1]) + 0.5
            found[y] |= (centers > left + 1e-8) & (centers <= right + 1e-8)
    return found


whole = st.integers(-3, 16).map(float)
parts = st.integers(-12, 60).map(lambda value: value / 4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(whole, whole), min_size=3, max_size=8) | st.lists(st.tuples(parts, parts), min_size=3))
def test_outlines_have_the_pixels_that_imagej_fills(
    tmp_path_factory: pytest.TempPathFactory, corners: list[tuple[float, float]]
) -> None:
    ring = np.array(corners)
    points = ring.astype(int) if (ring == np.rint(ring)).all() else ring
    file = saved(tmp_path_factory.mktemp("a"), traced(points, ROI_TYPE.POLYGON), name="a.roi")
    like = Image(np.zeros((14, 15), np.uint8), "yx")
    np.testing.assert_array_equal(drawn(file, like) > 0, as_imagej(ring, (14, 15)))


def test_rectangles_and_ovals(tmp_path: Path) -> None:
    y, x = np.indices((60, 90)) + 0.5
    expected = np.zeros((60, 90), np.int32)
    expected[5:15, 10:40] = 1
    expected[((x - 60) / 20) ** 2 + ((y - 30) / 25) ** 2 <= 1] = 2
    expected[((x - 7.75) / 5) ** 2 + ((y - 40.5) / 6) ** 2 <= 1] = 3
    exact = {"options": ROI_OPTIONS.SUB_PIXEL_RESOLUTION, "xd": 2.75, "yd": 34.5, "widthd": 10.0, "heightd": 12.0}
    rois = [boxed(ROI_TYPE.RECT, 5, 10, 15, 40), boxed(ROI_TYPE.OVAL, 5, 40, 55, 80)]
    np.testing.assert_array_equal(drawn(saved(tmp_path, *rois, boxed(ROI_TYPE.OVAL, 0, 0, 1, 1, **exact))), expected)


def test_rounded_and_turned_ones(tmp_path: Path) -> None:
    rounded = drawn(saved(tmp_path, boxed(ROI_TYPE.RECT, 10, 10, 50, 70, rounded_rect_arc_size=20)))
    y, x = np.indices((60, 90)) + 0.5
    far = np.hypot(np.maximum(abs(x - 40) - 20, 0), np.maximum(abs(y - 30) - 10, 0))
    np.testing.assert_array_equal(rounded > 0, far <= 10)
    for subtype, width in ((ROI_SUBTYPE.ELLIPSE, 0.5), (ROI_SUBTYPE.ROTATED_RECT, 18.0)):
        a, b, c = struct.unpack(">BBh", struct.pack(">f", width))
        roi = ImagejRoi(
            roitype=ROI_TYPE.FREEHAND, subtype=subtype, x1=20.0, y1=12.0, x2=70.0, y2=42.0, name="a",
            arrow_style_or_aspect_ratio=a, arrow_head_size=b, rounded_rect_arc_size=c,
        )  # fmt: skip
        found = drawn(saved(tmp_path, roi)) > 0
        length = math.hypot(50, 30)
        u = ((x - 45) * 50 + (y - 27) * 30) / length
        v = ((y - 27) * 50 - (x - 45) * 30) / length
        if subtype == ROI_SUBTYPE.ROTATED_RECT:
            border = np.isclose(abs(u), length / 2) | np.isclose(abs(v), 9)
            np.testing.assert_array_equal(found | border, (abs(u) <= length / 2) & (abs(v) <= 9) | border)
        else:  # ImageJ draws it with 72 corners
            expected = (u / (length / 2)) ** 2 + (v / (length / 4)) ** 2 <= 1
            assert np.count_nonzero(found != expected) < 8


@pytest.mark.parametrize("kind", sorted(FILLED))
def test_what_imagej_has_saved_has_the_pixels_that_it_fills(tmp_path: Path, kind: str) -> None:
    roi, filled = (zlib.decompress(base64.b85decode(FILLED[kind][name])) for name in ("roi", "filled"))
    (tmp_path / "a.roi").write_bytes(roi)
    expected = np.unpackbits(np.frombuffer(filled, np.uint8)).reshape(70, 80)
    np.testing.assert_array_equal(drawn(tmp_path / "a.roi", Image(np.zeros((70, 80), np.uint8), "yx")), expected)


def test_splines_go_through_their_corners_and_bulge(tmp_path: Path) -> None:
    turns = np.arange(8) * np.pi / 4
    corners = np.stack([40 + 20 * np.cos(turns), 30 + 20 * np.sin(turns)], axis=1)
    y, x = np.indices((60, 90)) + 0.5
    circle = np.hypot(x - 40, y - 30) <= 20
    plain = drawn(saved(tmp_path, traced(corners, ROI_TYPE.POLYGON))) > 0
    smooth = traced(corners, ROI_TYPE.POLYGON)
    smooth.options |= ROI_OPTIONS.SPLINE_FIT
    found = drawn(saved(tmp_path, smooth)) > 0
    assert np.count_nonzero(plain != circle) > 80
    assert np.count_nonzero(found != circle) < 12


def test_composites_with_curves_and_holes(tmp_path: Path) -> None:
    k = 20 * 4 / 3 * (math.sqrt(2) - 1)  # a quarter of a circle as a Bézier curve
    path = [0, 60, 30]
    for x, y, dx, dy in ((60, 30, 0, 1), (40, 50, -1, 0), (20, 30, 0, -1), (40, 10, 1, 0)):
        ax, ay = (40 + (y - 30) * -1, 30 + (x - 40))
        path += [3, x + dx * k, y + dy * k, ax + dy * k, ay - dx * k, ax, ay]
    path += [4, 0, 30, 25, 1, 50, 25, 1, 50, 35, 1, 30, 35, 4]
    roi = boxed(ROI_TYPE.RECT, 10, 20, 50, 60)
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    y, x = np.indices((60, 90)) + 0.5
    expected = np.hypot(x - 40, y - 30) <= 20
    expected[25:35, 30:50] = False
    assert np.count_nonzero((drawn(saved(tmp_path, roi)) > 0) != expected) <= 4


def test_points_lines_and_text_are_left_out_and_told(tmp_path: Path) -> None:
    others = [
        traced(BOX, kind) for kind in (ROI_TYPE.POINT, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.ANGLE)
    ] + [
        ImagejRoi(roitype=ROI_TYPE.LINE, x2=5.0, y2=5.0, name="line"),
        boxed(ROI_TYPE.RECT, 1, 1, 9, 9, subtype=ROI_SUBTYPE.TEXT, text="hello"),
    ]  # fmt: skip
    found = read_labels(saved(tmp_path, *others, traced(BOX)), like=FLAT)
    assert found.said == ("6 points, lines or texts in 'RoiSet.zip' have no inside and were left out.",)
    assert np.count_nonzero(found.data) == 35
    with pytest.raises(ImageError, match=r"have no inside\. Draw areas"):
        drawn(saved(tmp_path, *others))


def test_the_last_one_is_seen_where_they_overlap(tmp_path: Path) -> None:
    found = drawn(saved(tmp_path, boxed(ROI_TYPE.RECT, 0, 0, 9, 9), boxed(ROI_TYPE.RECT, 4, 4, 20, 20)))
    assert found[5, 5] == found[15, 15] == 2
    assert found[3, 3] == 1


@pytest.mark.parametrize(
    ("axes", "channels", "said", "planes"),
    [
        ("zyx", 1, {"position": 3}, [2]),
        ("tyx", 1, {"position": 3}, [2]),
        ("zyx", 1, {"z_position": 3, "t_position": 1}, [2]),
        ("tyx", 1, {"z_position": 3, "t_position": 1}, [2]),
        ("tyx", 1, {"c_position": 1, "z_position": 1, "t_position": 3}, [2]),
        ("zyx", 1, {}, [0, 1, 2, 3]),
        ("czyx", 2, {"position": 3}, [2]),
        ("czyx", 2, {"position": 7}, [3]),
    ],
)
def test_slices(tmp_path: Path, axes: str, channels: int, said: dict[str, int], planes: list[int]) -> None:
    like = Image(np.zeros((2,) * (channels > 1) + (4, 20, 30), np.uint8), axes)
    first = {"position": 1} if "position" in said or not said else {"z_position": 1, "t_position": 1}
    file = saved(tmp_path, traced(BOX, **said), boxed(ROI_TYPE.RECT, 12, 12, 14, 14, **first))
    found = read_labels(file, like=like)
    assert found.axes == axes.replace("c", "")
    assert [plane for plane in range(4) if (found.data[plane] == 1).any()] == planes
    assert [plane for plane in range(4) if (found.data[plane] == 2).any()] == [0]


def test_stacks_in_time(tmp_path: Path) -> None:
    like = Image(np.zeros((2, 3, 20, 30), np.uint8), "tzyx")
    places = [{"t_position": 2, "z_position": 3}, {"position": 5}, {"t_position": 1}]
    found = drawn(saved(tmp_path, *(traced(BOX, **place) for place in places)), like)
    at = [np.argwhere((found == number).any((2, 3))).tolist() for number in (1, 2, 3)]
    assert at == [[[1, 2]], [[1, 1]], [[0, 0], [0, 1], [0, 2]]]


def test_slices_that_are_not_there(tmp_path: Path) -> None:
    for said, like in (
        ({"position": 5}, STACK), ({"z_position": 5}, STACK), ({"z_position": 2, "t_position": 2}, STACK),
        ({"position": 2}, FLAT), ({"t_position": 2}, FLAT),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=r"has shapes on .* Choose the image that they were drawn on"):
            drawn(saved(tmp_path, traced(BOX, **said)), like)
    assert drawn(saved(tmp_path, traced(BOX, position=1)), FLAT).any()
    two = Image(np.zeros((2, 60, 90), np.uint8), "cyx")
    assert read_labels(saved(tmp_path, traced(BOX, position=2)), like=two).axes == "yx"


def test_large_stacks_are_drawn_where_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "LAZY_BYTES", 100)
    file = saved(tmp_path, *(traced(np.add(BOX, (n, 0)), position=n + 1) for n in range(4)))
    found = read_labels(file, like=STACK)
    assert not isinstance(found.data, np.ndarray)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.data[1:3, 2:9, ::2], drawn(file, STACK)[1:3, 2:9, ::2])
    np.testing.assert_array_equal(np.asarray(found.data), drawn(file, STACK))


def test_numbers_are_those_of_names_and_properties(tmp_path: Path) -> None:
    one, two = traced(BOX, name="0042"), traced(np.array(BOX) + 20, name="cell")
    two.properties = {"label": 7}
    assert np.unique(drawn(saved(tmp_path, one, two))).tolist() == [0, 7, 42]
    new = traced(np.array(BOX) + 40, name="0043-0043")  # as ImageJ names what is new
    assert np.unique(drawn(saved(tmp_path, one, two, new))).tolist() == [0, 7, 42, 43]
    again = traced(np.array(BOX) + 40, name="cell-1")
    again.properties = {"label": 7}
    assert np.unique(drawn(saved(tmp_path, one, two, again))).tolist() == [0, 1, 2, 3]
    for roi, position in ((one, 1), (two, 2), (again, 3)):
        roi.position = position
    assert np.unique(drawn(saved(tmp_path, one, two, again), Image(np.zeros((3, 60, 90)), "zyx"))).tolist() == [
        0, 7, 42,
    ]  # fmt: skip


def test_classes_are_groups_or_said(tmp_path: Path) -> None:
    one, two, three = (traced(np.array(BOX) + 20 * n) for n in range(3))
    one.group, two.group, three.properties = 1, 2, {"class": "Tumor"}
    file = saved(tmp_path, one, two, three)
    assert drawings.classes_drawn(file) == ("1", "2", "Tumor")
    found = drawings.read_drawing(file, FLAT, ("tumor", "stroma"))
    assert [found.data[5 + 20 * n, 5 + 20 * n] for n in range(3)] == [1, 2, 1]
    assert np.count_nonzero(read_labels(file, like=FLAT, only="tumor").data) == 35


def test_files_that_are_no_rois(tmp_path: Path) -> None:
    for name, content in (
        ("a.roi", b"Iout" + bytes(50)), ("a.roi", b"text" * 99), ("a.zip", b"no"), ("a.zip", b""),
        ("a.roi", traced(BOX).tobytes()[:70]),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=r"could not be read as ROIs|is no set of ROIs"):
            drawn(tmp_path / name)
    with pytest.raises(ImageError, match="There is no file"):
        drawn(tmp_path / "none.roi")


@pytest.mark.parametrize("at", range(16))
def test_damaged_ones_are_bad_input(tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    rng = np.random.default_rng(at)
    roi = boxed(ROI_TYPE.RECT, 10, 20, 50, 60)
    roi.multi_coordinates = np.array([0, 1, 1, 1, 9, 1, 1, 9, 9, 4], np.float32)
    roi.shape_roi_size = 10
    for source in (roi, traced(BOX), traced(np.array(BOX) + 0.5), boxed(ROI_TYPE.OVAL, 1, 2, 3, 4)):
        for _ in range(25):
            content = bytearray(source.tobytes())
            for place in rng.integers(4, len(content), 6):
                content[place] = rng.integers(256)
            (tmp_path / "a.roi").write_bytes(content)
            with contextlib.suppress(ImageError):
                drawn(tmp_path / "a.roi")


def test_corners_beyond_all_images(tmp_path: Path) -> None:
    for far in (1e9, math.inf, math.nan):
        roi = traced(np.array(BOX) + 0.5)
        roi.subpixel_coordinates = np.array([[far, 1], [2, 9], [5, 5], [1, 1]], np.float32)
        file = saved(tmp_path, roi)
        with pytest.raises(ImageError, match=r"no places in an image"):
            drawn(file)
    outside = traced(np.array([[-4000, -4000], [60_000, -4000], [60_000, 60_000], [-4000, 60_000]]))
    assert drawn(saved(tmp_path, outside)).all()


def test_archives_from_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, content = tmp_path / "a.zip", traced(BOX).tobytes()

    def archive(**files: bytes) -> Path:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            for name, each in files.items():
                out.writestr(name, each)
        return file

    with pytest.raises(ImageError, match="leads out of it"):
        drawn(archive(**{"../../a.roi": content}))
    with pytest.raises(ImageError, match="holds no ROIs of ImageJ"):
        drawn(archive(**{"model.onnx": b"no"}))
    apple = archive(**{"a/0001.roi": content, "__MACOSX/._0001.roi": b"no", "notes.txt": b"x"})
    assert np.count_nonzero(drawn(apple)) == 35
    monkeypatch.setattr(imagej, "_LARGEST", 100_000)
    with pytest.raises(ImageError, match="would unpack to more"):
        drawn(archive(**{"bomb.roi": content + bytes(200_000)}))
    monkeypatch.setattr(imagej, "_DIRECTORY", 100)
    with pytest.raises(ImageError, match="too large a table of contents"):
        drawn(archive(**{f"{n}.roi": content for n in range(9)}))
    monkeypatch.undo()
    monkeypatch.setattr(imagej, "_MOST_CORNERS", 6)
    with pytest.raises(ImageError, match="more than 6 corners"):
        drawn(archive(**{"1.roi": content, "2.roi": content}))
    flags = bytearray(archive(**{"1.roi": content}).read_bytes())
    at = flags.index(b"PK\1\2")
    flags[6], flags[at + 8] = flags[6] | 1, flags[at + 8] | 1
    file.write_bytes(flags)
    with pytest.raises(ImageError, match="encrypted"):
        drawn(file)


def test_as_a_region(tmp_path: Path) -> None:
    assert read_region(saved(tmp_path, traced(BOX, position=4), name="a.roi")) == (
        ((2.5, 1.5), (2.5, 8.5), (7.5, 8.5), (7.5, 1.5)),
    )
    with pytest.raises(SpecError, match="lie on several slices"):
        read_region(saved(tmp_path, traced(BOX, position=4), traced(BOX, position=5)))
    with pytest.raises(SpecError, match="holds 1 points, lines or texts"):
        read_region(saved(tmp_path, traced(BOX), traced(BOX, ROI_TYPE.POINT)))
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    with pytest.raises(SpecError, match="holds no area"):
        read_region(tmp_path / "none.zip")


def test_beside_images_in_folders_and_tables(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in ("one.tif", "two.tif"):
        tifffile.imwrite(tmp_path / "images" / name, np.zeros((60, 90), np.uint8))
    saved(tmp_path / "labels", traced(BOX), name="one.roi")
    saved(tmp_path / "labels", traced(BOX), name="two.zip")
    assert [each.labels.name for each in find_examples(tmp_path)] == ["one.roi", "two.zip"]  # type: ignore[union-attr]
    pairs = match_labels(tmp_path / "labels", tmp_path / "images")
    saved(tmp_path / "images", traced(BOX), name="two.zip")  # outlines beside labels
    assert match_labels(tmp_path / "labels", tmp_path / "images") == pairs
    true, found = read_judged(*pairs[1])
    assert true.data.any()
    assert true.shape == found.shape


def test_they_are_on_the_grid_already(tmp_path: Path) -> None:
    found = read_labels(saved(tmp_path, traced(BOX, position=2)), like=STACK)
    assert regrid(found, STACK) is found


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("stack.tif", np.zeros((4, 20, 30), np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
    saved(tmp_path, traced(BOX, position=2), traced(BOX, ROI_TYPE.POINT))
    good("regrid", "RoiSet.zip", "--like", "stack.tif", "-o", "labels.tif")
    assert tifffile.imread("labels.tif").sum((1, 2)).tolist() == [0, 35, 0, 0]
    assert json.loads(good("evaluate", "RoiSet.zip", "labels.tif", "--json"))["mAP"] == 1
    assert "belong to an image" in bad("measure", "RoiSet.zip", "-o", "a.csv")
