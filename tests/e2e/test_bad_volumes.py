"""Bad volumes on the command line: clear words, nothing overwritten, nothing left behind; what can be used is used."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
import pytest
from napari.layers import Layer
from pydicom.encaps import encapsulate

from napari_unet.core.errors import UNetError
from napari_unet.io.labels import read_labels
from napari_unet.widgets import _reader

from ..commands import run

AFFINE = np.diag([0.7, 0.7, 2.5, 1.0])
BEFORE = b"labels of yesterday"


@pytest.fixture
def stack(disks):
    """Column, row, plane: five planes of bright disks."""
    return np.repeat(disks[0].T[:, :, None], 5, axis=2)


def nifti(place, values, affine=AFFINE):
    """Write ``scan.nii.gz``."""
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, -1, 1, 1]) @ affine), place / "scan.nii.gz")
    return place / "scan.nii.gz"


def flat(place, stack, _series):
    """Write a NIfTI whose header says that voxels are 0 mm wide, and nothing else of where they lie."""
    file = nifti(place, stack)
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[80:92] = np.array([0, 0.7, 2.5], "<f4").tobytes()  # pixdim
    content[252:256] = bytes(4)  # codes of qform and sform
    file.write_bytes(gzip.compress(bytes(content)))
    return file


def cut_short(file, share):
    """Leave the first part of a file; of a packed one, of what is in it."""
    whole = file.read_bytes()
    if file.suffix == ".gz":
        unpacked = gzip.decompress(whole)
        file.write_bytes(gzip.compress(unpacked[: int(share * len(unpacked))]))
    else:
        file.write_bytes(whole[: int(share * len(whole))])
    return file.parent if file.suffix == ".dcm" else file


def without(file, *names):
    """Take fields out of a DICOM file."""
    data = pydicom.dcmread(file)
    for name in names:
        delattr(data, name)
    data.save_as(file)
    return file.parent


def sheared(place, stack, _series):
    affine = AFFINE.copy()
    affine[0, 1] = 0.3
    return nifti(place, stack, affine)


def missing_slice(place, stack, series):
    series(place / "ct", stack, AFFINE)[2].unlink()
    return place / "ct"


def two_series(place, stack, series):
    series(place / "ct", stack, AFFINE)
    for number, file in enumerate(series(place / "mr", stack, AFFINE, Modality="MR", SeriesNumber=2)):
        file.rename(place / "ct" / f"other{number}.dcm")
    return place / "ct"


def packed(place, stack, series):
    for file in series(place / "ct", stack, AFFINE, BitsStored=12, HighBit=11):
        data = pydicom.dcmread(file)
        plane = data.pixel_array
        data.PixelData = encapsulate([imagecodecs.ljpeg_encode(plane.astype(np.uint16), bitspersample=12)])
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
        data["PixelData"].VR = "OB"
        data.save_as(file)
    return place / "ct"


def tilted(place, stack, series):
    series(place / "ct", stack, AFFINE, ImagePositionPatient=lambda k: [0, 0.7 * k, 2.5 * k])
    return place / "ct"


def tilted_axes(place, stack, series):
    series(place / "ct", stack, AFFINE, ImageOrientationPatient=[1, 0, 0, 0.5, 0.866, 0])
    return place / "ct"


REFUSED = {
    "missing slice": (missing_slice, "missing"),
    "two series": (two_series, "MR series 2"),
    "axes that are not orthogonal": (tilted_axes, "not orthogonal"),
    "spacing of zero in DICOM": (
        lambda place, stack, series: series(place / "ct", stack, AFFINE, PixelSpacing=[0, 0.7])[0].parent,
        "pixel spacing 0",
    ),
    "no pixel data": (
        lambda place, stack, series: without(series(place / "ct", stack, AFFINE)[1], "PixelData"), "no pixel data",
    ),
    "encrypted": (
        lambda place, stack, series: (
            series(place / "ct", stack, AFFINE)[1].write_bytes(b"\x93encrypted" * 400) and place / "ct"
        ),
        "encrypted",
    ),
    "spacing of zero in NIfTI": (flat, "0 x 0.7 x 2.5"),
    "truncated DICOM": (
        lambda place, stack, series: cut_short(series(place / "ct", stack, AFFINE)[1], 0.6), "pixel data",
    ),
    "truncated NIfTI": (lambda place, stack, _series: cut_short(nifti(place, stack), 0.5), "incomplete"),
    "encrypted NIfTI": (
        lambda place, _stack, _series: (place / "scan.nii.gz").write_bytes(b"\x93enc" * 99) and place / "scan.nii.gz",
        "scan.nii.gz",
    ),
}  # fmt: skip
USED = {
    "gantry tilt": (tilted, "gantry was tilted"),
    "JPEG-compressed": (packed, ""),
    "affine that is not orthogonal": (sheared, "not orthogonal"),
    "time where depth was meant": (lambda place, stack, _series: nifti(place, stack[:, :, None, :3]), ""),
}


def opened(file):
    """Return the layers of a file as a viewer has them, all of their pixels looked at."""
    layers = [Layer.create(*each) for each in _reader.read(file)]
    return [(layer, np.asarray(layer.data)) for layer in layers]


def told(done):
    """Return what was said, lines joined: the terminal breaks and frames them."""
    return " ".join((done.output + done.stderr).replace("│", " ").split())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_words(name, tmp_path, stack, dicom_series, bright):
    make, said = REFUSED[name]
    scan = make(tmp_path, stack, dicom_series)
    out = tmp_path / "labels.nii.gz"
    out.write_bytes(BEFORE)
    there = sorted(tmp_path.rglob("*"))
    words = ("--overwrite", "--model", bright, "--device", "cpu", "--diameter", 12)
    done = run("segment", scan, "-o", out, *words)
    assert done.exit_code == 2, told(done)
    assert said in told(done)
    assert isinstance(done.exception, SystemExit)
    assert out.read_bytes() == BEFORE
    assert sorted(tmp_path.rglob("*")) == there


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"two series"}))
def test_the_viewer_refuses_it_in_the_same_words(name, tmp_path, stack, dicom_series, identity):
    make, said = REFUSED[name]
    scan = make(tmp_path, stack, dicom_series)
    there = sorted(tmp_path.rglob("*"))
    with pytest.raises(UNetError, match=re.escape(said)) as refused:
        opened(scan)
    assert not [word for word in identity if word in str(refused.value).replace(str(tmp_path), "")]
    assert sorted(tmp_path.rglob("*")) == there


def test_the_viewer_shows_each_of_two_series(tmp_path, stack, dicom_series, identity):
    layers = [layer for layer, _ in opened(two_series(tmp_path, stack, dicom_series))]
    assert len({layer.name for layer in layers}) == 2
    assert not [word for word in identity for layer in layers if word in repr((layer.name, layer.metadata))]


@pytest.mark.parametrize("name", USED)
def test_the_viewer_opens_what_can_be_used(name, tmp_path, stack, dicom_series, identity, monkeypatch):
    make, said = USED[name]
    warned = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", warned.append)
    for layer, values in opened(make(tmp_path, stack, dicom_series)):
        assert values.max() > 0
        assert [str(unit) for unit in layer.units[-2:]] == ["millimeter"] * 2
        kept = repr((layer.name, layer.metadata))
        assert not [word for word in identity if word in kept.replace(str(tmp_path), "")]
    assert said in " ".join(warned)


@pytest.mark.parametrize("name", USED)
def test_what_can_be_used_is_used_and_remarked_on(name, tmp_path, stack, dicom_series, bright):
    make, said = USED[name]
    scan = make(tmp_path, stack, dicom_series)
    out = tmp_path / "labels.nii.gz"
    done = run("segment", scan, "-o", out, "--model", bright, "--device", "cpu", "--diameter", 12)
    assert done.exit_code == 0, told(done)
    assert said in told(done)
    found = read_labels(out)
    assert np.asarray(found.data).max() > 0
    assert Path(out).is_file()
