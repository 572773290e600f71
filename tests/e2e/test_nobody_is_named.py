"""From a DICOM folder to everything that can be made of it: no file, message or layer names the patient."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli.commands import app
from napari_unet.widgets import _reader
from napari_unet.widgets.segment import SegmentWidget

AFFINE = np.diag([0.7, 0.7, 2.5, 1.0])


@pytest.fixture
def series(tmp_path, disks, dicom_series):
    """A series of a patient with a name, and labels of it."""
    dicom_series(tmp_path / "scan", np.repeat(disks[0].T[:, :, None], 5, axis=2), AFFINE)
    return tmp_path / "scan"


def content(file):
    """Return a file's bytes, with what a PDF has packed."""
    raw = file.read_bytes()
    parts = [raw]
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", raw, re.DOTALL):
        try:
            parts.append(zlib.decompress(found[1]))
        except zlib.error:
            continue
    return b"".join(parts).decode("latin1")


def everything(folder, leave):
    """Return names and content of all files, but for those below some folders."""
    files = [p for p in folder.rglob("*") if p.is_file() and not any(p.is_relative_to(other) for other in leave)]
    return {str(p.relative_to(folder)): content(p) for p in files}


def test_neither_files_nor_words_name_anybody(tmp_path, series, bright, identity, caplog, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    caplog.set_level("INFO")
    made = tmp_path / "made"
    made.mkdir()
    said = []

    def good(*words):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        said.append(done.output + done.stderr)

    how = ("--model", bright, "--device", "cpu", "--diameter", 12)
    good("segment", series, "-o", made / "a.nii.gz", "--table", made / "a.csv", *how)
    good("segment", series, "-o", made / "a.ome.zarr", "--json", *how)
    good("measure", made / "a.nii.gz", "--measure", "lesions", "--image", series, "-o", made / "lesions.csv")
    good("report", series, made / "a.nii.gz", "--output", made / "a.html")
    good("report", series, made / "a.nii.gz", "--output", made / "a.pdf")
    (made / "pairs.csv").write_text(f"image,labels\n{series},{made / 'a.nii.gz'}\n")
    quick = ("--steps", 2, "--every", 1, "--batch", 1, "--patch", 32, "--threads", 1, "--device", "cpu")
    good("train", made / "pairs.csv", "--name", "mine", "--task", "tumor", *quick)
    done = CliRunner().invoke(app, ["segment", str(series), "-o", str(next(series.iterdir())), "--overwrite"])
    assert done.exit_code == 2
    found = everything(tmp_path, (series,)) | {"words": "\n".join((*said, done.output, caplog.text))}
    assert {"made/a.html", "made/a.pdf", "made/lesions.csv", "models/mine/card.json"} <= found.keys()
    for place, text in found.items():
        told = re.sub(r'base64,[^"]+', "", text).replace(str(tmp_path), "")
        packed = Path(place).suffix in {".gz", ".pdf", ".safetensors", ".png", ""} and place != "words"
        words = [word for word in identity if len(word) > 4 or not packed]  # three letters stand there by chance
        assert not [word for word in words if word in told], place
        assert not [word for word in identity if word in place]


def test_only_segments_name_the_patient_of_their_series(tmp_path, series, bright, identity):
    words = ["segment", series, "-o", tmp_path / "seg.dcm", "--model", bright, "--device", "cpu", "--diameter", "12"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert not [word for word in identity if word in done.output + done.stderr]
    source, segments = pydicom.dcmread(next(series.iterdir())), pydicom.dcmread(tmp_path / "seg.dcm")
    assert segments.PatientID == source.PatientID  # DICOM wants it: it belongs to that patient's study
    assert [p.name for p in tmp_path.glob("*.dcm")] == ["seg.dcm"]


def test_layers_and_docks_name_nobody(tmp_path, series, bright, identity, qtbot, monkeypatch):
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", pytest.fail)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    viewer = ViewerModel()
    for data, options, kind in _reader.read(series):
        viewer.add_layer(Layer.create(data, options, kind))
    widget = SegmentWidget(viewer, "tumor,organ")
    qtbot.addWidget(widget)
    widget.models.setCurrentIndex(widget.models.findData("bright"))
    widget.settings.fields["device"].value = "cpu"
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=180_000)
    assert len(viewer.layers) > 1, widget.status.text()
    shown = [repr((layer.name, layer.metadata, getattr(layer, "features", None))) for layer in viewer.layers]
    shown += [widget.status.text(), widget.place.line.text(), widget.place.line.placeholderText()]
    workflows.write_table(str(tmp_path / "a.csv"), dict(viewer.layers[-1].features))
    shown.append((tmp_path / "a.csv").read_text())
    assert not [word for word in identity if word in "\n".join(shown).replace(str(tmp_path), "")]
