"""Labels that are shapes: learned as the same pixels would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, TrainingDataError
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import finish
from napari_unet.io.images import write_image
from napari_unet.io.labels import write_labels
from napari_unet.training.plan import prepare

KINDS = {1: "Tumor", 2: "Stroma"}


def boxes(number: int) -> list[tuple[int, int, int, int, int]]:
    """Return class, top, left, bottom and right of some rectangles that lie apart."""
    rng = np.random.default_rng(number)
    found = []
    for row in range(4):
        for column in range(4):
            top, left = 32 * row + rng.integers(2, 8), 32 * column + rng.integers(2, 8)
            found.append((1 + (row + column) % 2, top, left, top + rng.integers(8, 20), left + rng.integers(8, 20)))
    return [tuple(map(int, each)) for each in found]  # type: ignore[misc]


def write(folder: Path, shapes: bool, classes: bool, named: bool = True) -> Path:
    """Write three images, and their labels as shapes or as pixels."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(3):
        labels, features = np.zeros((128, 128), np.uint16), []
        for at, (kind, top, left, bottom, right) in enumerate(boxes(number), 1):
            labels[top:bottom, left:right] = kind if classes else at
            ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
            said: dict[str, Any] = {"classification": {"name": KINDS[kind]}} if named else {}
            geometry = {"type": "Polygon", "coordinates": [ring]}
            features.append({"type": "Feature", "geometry": geometry, "properties": said})
        noise = np.random.default_rng(number).normal(0, 8, labels.shape)
        tifffile.imwrite(
            folder / f"images/{number}.tif", np.clip(60 + 90 * (labels > 0) + noise, 0, 255).astype(np.uint8)
        )
        if shapes:
            text = json.dumps({"type": "FeatureCollection", "features": features})
            (folder / f"labels/{number}.geojson").write_text(text)
        else:
            tifffile.imwrite(folder / f"labels/{number}.tif", labels)
    return folder


def prepared(data: Path, **settings: Any) -> Any:
    """Read everything as a training would."""
    return finish(prepare(data, TrainSpec.of(**{"name": "x", "validation": 0} | settings)))


@pytest.mark.parametrize(
    ("classes", "settings"),
    [
        (False, {"task": "cell"}),
        (
            True,
            {"task": "satellite", "target": {"name": "classes", "classes": ["Tumor", "Stroma"], "background": True}},
        ),
    ],
    ids=["objects", "classes"],
)
def test_the_same_is_learned_from_as_with_pixels(tmp_path: Path, classes: bool, settings: dict[str, Any]) -> None:
    drawn, painted = (
        prepared(write(tmp_path / name, name == "drawn", classes), **settings) for name in ("drawn", "painted")
    )
    assert len(drawn.pairs) == len(painted.pairs) == 3
    for one, other in zip(drawn.pairs, painted.pairs, strict=True):
        window = tuple(slice(0, n) for n in one.labels.shape)
        np.testing.assert_array_equal(np.asarray(one.labels[window]), np.asarray(other.labels[window]))
    assert drawn.plan.spec.target == painted.plan.spec.target


def test_classes_are_called_as_they_are_there(tmp_path: Path) -> None:
    found = prepared(write(tmp_path, True, True), task="organ")
    assert found.plan.spec.target.classes == ("Stroma", "Tumor")
    assert int(found.pairs[0].labels[0:128, 0:128].max()) == 2


def test_shapes_without_a_class_are_one(tmp_path: Path) -> None:
    target = {"name": "classes", "classes": ["building"], "background": True}
    found = prepared(write(tmp_path, True, True, named=False), task="satellite", target=target)
    assert int(found.pairs[0].labels[0:128, 0:128].max()) == 1


@pytest.mark.parametrize("number", range(3))
def test_an_image_may_hold_shapes_of_other_classes_only(tmp_path: Path, number: int) -> None:
    write(tmp_path, True, True)
    ring = [[9, 9], [20, 9], [20, 20], [9, 9]]
    feature = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"class": "Vessel"}}
    text = json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature"} | feature]})
    (tmp_path / f"labels/{number}.geojson").write_text(text)
    target = {"name": "classes", "classes": ["stroma"], "background": True}
    settings = {"task": "satellite", "target": target, "validation": 0.3}
    found = prepared(tmp_path, **settings)
    assert len(found.held_out) == 1
    assert sum("has no labeled object" in warning for warning in found.plan.warnings) == 1
    with pytest.raises(ImageError, match=r"None of the 33 shapes .* and other files is of the classes strom"):
        prepared(tmp_path, **settings | {"target": target | {"classes": ["strom"]}})


def test_several_classes_need_names_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"None of the 48 shapes .* Give every shape a property 'class'"):
        prepared(write(tmp_path, True, True, named=False), task="satellite")


def test_classes_of_shapes_and_pixels_cannot_be_counted(tmp_path: Path) -> None:
    write(tmp_path, True, True)
    (tmp_path / "labels/2.geojson").unlink()
    tifffile.imwrite(tmp_path / "labels/2.tif", np.ones((128, 128), np.uint8))
    with pytest.raises(TrainingDataError, match="Some labels are shapes and others are pixels"):
        prepared(tmp_path, task="organ")


def test_rois_of_stacks_teach_on_their_slices(tmp_path: Path) -> None:
    found = []
    for name in ("drawn", "painted"):
        for kind in ("images", "labels"):
            (tmp_path / name / kind).mkdir(parents=True)
        for number in range(2):
            labels = np.zeros((3, 64, 64), np.int32)
            for plane, (_, top, left, bottom, right) in enumerate(boxes(number)[:3]):
                labels[plane, top : bottom + 10, left % 30 : right % 30 + 20] = plane + 1
            noise = np.random.default_rng(number).normal(60, 8, labels.shape)
            image = Image(np.clip(noise + 90 * (labels > 0), 0, 255).astype(np.uint8), "zyx")
            write_image(tmp_path / name / f"images/{number}.ome.zarr", image)
            end = ".zip" if name == "drawn" else ".ome.zarr"
            write_labels(tmp_path / name / f"labels/{number}{end}", Image(labels, "zyx"))
        found.append(prepared(tmp_path / name, task="cell"))
    assert len(found[0].pairs) == len(found[1].pairs) == 6
    for one, other in zip(found[0].pairs, found[1].pairs, strict=True):
        window = tuple(slice(0, n) for n in one.labels.shape)
        np.testing.assert_array_equal(np.asarray(one.labels[window]), np.asarray(other.labels[window]))
