"""Medical images in the viewer: true spacing, millimeters, and labels that go back where they belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from npe2 import PluginManager, read, write
from npe2.types import FullLayerData

from napari_unet.core.axes import Image
from napari_unet.core.results import Segmentation
from napari_unet.widgets import _label_files, _reader
from napari_unet.widgets._canvas import Canvas
from napari_unet.widgets._layers import layer_image

RNG = np.random.default_rng(0)
AFFINE = np.array([[-0.9, 0.0, 0.0, 80.0], [0.0, 0.9, 0.0, -60.0], [0.0, 0.0, 3.2, 15.0], [0, 0, 0, 1.0]])


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    made = nib.Nifti1Image(RNG.integers(0, 99, (7, 6, 5)).astype(np.int16), AFFINE)
    made.header.set_xyzt_units("mm")
    nib.save(made, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_a_scan_has_its_spacing_and_place_in_millimeters(scan: Path) -> None:
    ((data, options, kind),) = _reader.read(scan)
    layer = Layer.create(data, options, kind)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    np.testing.assert_allclose(layer.scale, (3.2, 0.9, 0.9), rtol=1e-6)
    # The patient's left is to the right, the back is below: LPS.
    stored = np.asarray(nib.load(scan).dataobj)
    for index in ((0, 0, 0), (6, 5, 4), (2, 3, 1)):
        right, front, head = (nib.load(scan).affine @ [*index, 1])[:3]
        place = np.rint(layer.world_to_data((head, -front, -right))).astype(int)
        assert np.asarray(layer.data)[tuple(place)] == stored[index]


def test_labels_made_of_a_scan_are_saved_on_its_grid(scan: Path, tmp_path: Path) -> None:
    viewer = ViewerModel()
    ((data, options, kind),) = _reader.read(scan)
    layer = viewer.add_layer(Layer.create(data, options, kind))
    image = layer_image(layer, "zyx")
    assert image.anatomy is not None
    canvas = Canvas(viewer, layer, image)
    found = Image((np.asarray(data) > 50).astype(np.int32), "zyx", anatomy=image.anatomy)
    canvas._add(found.data, "found")
    canvas.finish(Segmentation(found, 1, 5.0, 0.1, {"model": "a"}, {}))
    place = str(tmp_path / "found.nii.gz")
    assert _label_files.write(place, *canvas.layer.as_layer_data_tuple()[:2]) == [place]
    written, source = nib.load(place), nib.load(scan)
    np.testing.assert_array_equal(written.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(source.dataobj) > 50)
    cut = canvas.layer.as_layer_data_tuple()
    cut[1]["translate"] = np.asarray(cut[1]["translate"]) + np.array([3.2, 0, 0])
    _label_files.write(place, cut[0][1:], cut[1])  # of another size: its layer says where it is
    np.testing.assert_allclose(nib.load(place).affine @ [0, 5, 0, 1], source.affine @ [0, 0, 1, 1], atol=1e-4)


def test_the_plugin_reads_and_writes_by_name(scan: Path, tmp_path: Path) -> None:
    manager = PluginManager.instance()
    manager.discover()
    ((data, _, kind),) = read([str(scan)], stack=False, plugin_name="napari-unet-suite")
    assert kind == "image"
    layer: FullLayerData = (np.asarray(data).astype(np.int32) % 3, {"name": "a"}, "labels")
    (place,) = write(str(tmp_path / "a.nii.gz"), [layer], plugin_name="napari-unet-suite")
    assert nib.load(place).get_data_dtype() == np.uint8


def test_what_is_odd_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), None), tmp_path / "a.nii.gz")
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    _reader.read(tmp_path / "a.nii.gz")
    assert any("left and right cannot be told" in text for text in said)


def test_names_of_labels_are_in_the_table(monkeypatch: pytest.MonkeyPatch, scan: Path) -> None:
    image = _reader.workflows.read_image(scan)
    labels = Image(np.ones(image.shape, np.int32), "zyx", anatomy=image.anatomy.named({1: "GTV"}))  # type: ignore[union-attr]
    monkeypatch.setattr(_reader.workflows, "read_contents", lambda _: ([], [labels]))
    ((data, options, kind),) = _reader.read(scan)
    layer = Layer.create(data, options, kind)
    assert list(layer.features["name"]) == ["background", "GTV"]


def test_labels_of_a_series_are_saved_as_its_segments(tmp_path: Path, dicom_series: Callable[..., list[Path]]) -> None:
    files = dicom_series(tmp_path / "scan", RNG.integers(0, 99, (7, 6, 5)).astype(np.uint16))
    viewer = ViewerModel()
    ((data, options, kind),) = _reader.read(tmp_path / "scan")
    layer = viewer.add_layer(Layer.create(data, options, kind))
    image = layer_image(layer, "zyx")
    canvas = Canvas(viewer, layer, image)
    found = Image((np.asarray(data) > 50).astype(np.int32), "zyx", anatomy=image.anatomy)
    canvas._add(found.data, "found")
    classes = [{"label": 1, "name": "mass", "color": "#e69f00"}]
    canvas.finish(Segmentation(found, 1, 5.0, 0.1, {"model": "tumor", "classes": classes}, {}))
    _label_files.write(str(tmp_path / "seg.dcm"), *canvas.layer.as_layer_data_tuple()[:2])
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("mass", "AUTOMATIC")
    referenced = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {pydicom.dcmread(file).SOPInstanceUID for file in files}
