"""Medical images from end to end: a scan goes in, labels of its exact grid come out, and nobody is named."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest

from napari_unet import workflows
from napari_unet.core.anatomy import Anatomy, stand_up
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.io.labels import read_labels, write_labels

from .commands import run

AFFINE = np.array([[0.7, 0.0, 0.0, -30.0], [0.0, 0.7, 0.0, -20.0], [0.0, 0.0, 2.5, 15.0], [0, 0, 0, 1.0]])  # LPS


@pytest.fixture
def stack(disks):
    """Column, row, plane: three planes of bright disks."""
    return np.repeat(disks[0].T[:, :, None], 3, axis=2)


def save_nifti(path, values, affine=None):
    ras = np.diag([-1.0, -1, 1, 1]) @ (AFFINE if affine is None else affine)
    made = nib.Nifti1Image(values, ras)
    made.set_sform(ras, 2)
    made.set_qform(ras, 1)
    nib.save(made, path)
    return path


def test_a_nifti_is_segmented_to_a_nifti(tmp_path, bright, stack):
    scan = save_nifti(
        tmp_path / "scan.nii.gz", stack[:, ::-1], AFFINE @ [[1, 0, 0, 0], [0, -1, 0, 95], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    for name in ("labels.nii.gz", "labels.ome.zarr"):
        done = run(
            "segment", scan, "-o", tmp_path / name, "--model", bright, "--device", "cpu", "--diameter", 12, "--json"
        )
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["objects"] >= 40
    written, source = nib.load(tmp_path / "labels.nii.gz"), nib.load(scan)
    for field in ("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d", "srow_x", "srow_y", "srow_z"):
        np.testing.assert_array_equal(written.header[field], source.header[field])
    stored = np.asarray(written.dataobj)
    assert np.corrcoef(stored.ravel() > 0, np.asarray(source.dataobj).ravel() > 2500)[0, 1] > 0.9
    # Labels kept as OME-Zarr know where they lie, too.
    kept = read_labels(tmp_path / "labels.ome.zarr")
    assert kept.anatomy.header
    write_labels(tmp_path / "again.nii.gz", kept)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "again.nii.gz").dataobj), stored)
    np.testing.assert_array_equal(nib.load(tmp_path / "again.nii.gz").affine, source.affine)


def test_a_dicom_folder_is_segmented_to_a_dicom_seg(tmp_path, bright, stack, dicom_series, identity, caplog):
    files = dicom_series(tmp_path / "scan", stack, AFFINE)
    words = (
        "segment",
        tmp_path / "scan",
        "--model",
        bright,
        "--device",
        "cpu",
        "--diameter",
        12,
        "--table",
        tmp_path / "a.csv",
        "--json",
    )
    done = run(*words, "-o", tmp_path / "seg.dcm")
    assert done.exit_code == 0, done.output
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert len(seg.SegmentSequence) == json.loads(done.stdout)["objects"] >= 40
    references = {
        r.ReferencedSOPInstanceUID for s in seg.ReferencedSeriesSequence for r in s.ReferencedInstanceSequence
    }
    assert references == {pydicom.dcmread(f).SOPInstanceUID for f in files}
    image = workflows.read_image(tmp_path / "scan")
    found = workflows.read_labels(tmp_path / "seg.dcm", like=image)
    again = run(*words, "--overwrite", "-o", tmp_path / "labels.nii.gz")
    assert again.exit_code == 0
    np.testing.assert_array_equal(found.data, read_labels(tmp_path / "labels.nii.gz").data)
    # Neither what was said, nor the table, nor the record, nor the NIfTI names anybody.
    assert run(*words[:-1], "-o", tmp_path / "labels.ome.zarr", "--overwrite").exit_code == 0
    packed = gzip.decompress((tmp_path / "labels.nii.gz").read_bytes()).decode("latin1")
    records = [p.read_text() for p in (tmp_path / "labels.ome.zarr").rglob("zarr.json")]
    said = "\n".join((done.output, again.output, caplog.text, (tmp_path / "a.csv").read_text(), packed, *records))
    assert not [word for word in identity if word in said]
    assert str(files[0]) not in said
    # The plane that is named is never replaced.
    refused = run(*words, "-o", files[0], "--overwrite")
    assert refused.exit_code == 2
    assert "replace a plane of the image itself" in refused.output


def test_a_series_is_asked_for(tmp_path, bright, stack, dicom_series):
    dicom_series(tmp_path / "scans" / "a", stack, AFFINE, SeriesNumber=4)
    dicom_series(tmp_path / "scans" / "b", stack[:50], AFFINE, SeriesNumber=9, Modality="MR")
    (tmp_path / "one.png").write_bytes(b"")
    assert "which '" in run("series", tmp_path / "one.png").output, "and not that it is damaged DICOM"
    listed = run("series", tmp_path / "scans")
    assert listed.output.splitlines()[1].strip() == "2  MR series 9: 3 planes of 96 x 50, 2.5 x 0.7 x 0.7 mm"
    assert [s["name"] for s in json.loads(run("series", tmp_path / "scans", "--json").stdout)] == [
        "CT series 4", "MR series 9",
    ]  # fmt: skip
    words = (
        "segment",
        tmp_path / "scans",
        "-o",
        tmp_path / "a.nii.gz",
        "--model",
        bright,
        "--device",
        "cpu",
        "--diameter",
        12,
    )
    refused = run(*words)
    assert refused.exit_code == 2
    assert "2  MR series 9" in refused.output
    assert run(*words, "--series", 2).exit_code == 0
    assert nib.load(tmp_path / "a.nii.gz").shape == (50, 96, 3)
    words = ("report", tmp_path / "scans", tmp_path / "a.nii.gz", "-o", tmp_path / "a.html")
    assert "--series" in run(*words).output
    assert run(*words, "--series", 2).exit_code == 0


def test_labels_on_another_grid_are_brought_only_where_asked(tmp_path, stack):
    scan = save_nifti(tmp_path / "scan.nii.gz", stack)
    mask = (stack > 2500).astype(np.uint8)
    coarse = save_nifti(tmp_path / "coarse.nii.gz", mask[::2, ::2], AFFINE @ np.diag([2, 2, 1, 1.0]))
    part = AFFINE.copy()
    part[:3, 3] = (AFFINE @ [10, 20, 1, 1])[:3]
    cut = save_nifti(tmp_path / "cut.nii.gz", mask[10:60, 20:70, 1:], part)
    out = tmp_path / "out.nii.gz"
    refused = run("regrid", coarse, "--like", scan, "-o", out)
    assert refused.exit_code == 2
    assert "another grid" in refused.output
    assert not out.exists()
    assert run("regrid", coarse, "--like", scan, "-o", out, "--resample").exit_code == 0
    assert nib.load(out).shape == stack.shape
    assert run("regrid", cut, "--like", scan, "-o", out).exit_code == 2  # it is there
    assert run("regrid", cut, "--like", scan, "-o", out, "--overwrite", "--json").exit_code == 0
    expected = np.zeros_like(mask)
    expected[10:60, 20:70, 1:] = mask[10:60, 20:70, 1:]
    np.testing.assert_array_equal(np.asarray(nib.load(out).dataobj), expected)
    # Nor are they measured or judged as if they lay there.
    moved = save_nifti(
        tmp_path / "moved.nii.gz", mask, AFFINE @ [[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    for words in (("measure", moved, "--image", scan, "-o", tmp_path / "a.csv"), ("evaluate", out, moved)):
        said = run(*words)
        assert said.exit_code == 2
        assert "another grid" in said.output
    assert not (tmp_path / "a.csv").exists()
    with pytest.raises(ImageError, match="another grid"):
        workflows.measure(workflows.read_labels(moved), workflows.read_image(scan))


def test_segments_on_another_grid_are_resampled_where_asked(tmp_path, dicom_series, stack):
    dicom_series(tmp_path / "scan", stack.astype(np.int16), AFFINE)
    mask = (stack > 2500).transpose(2, 1, 0).astype(np.uint8)
    series = workflows.read_image(tmp_path / "scan")
    workflows.write_labels(tmp_path / "seg.dcm", replace(series, data=mask))
    coarse = save_nifti(tmp_path / "coarse.nii.gz", stack[::2, ::2], AFFINE @ np.diag([2, 2, 1, 1.0]))
    words = ("regrid", tmp_path / "seg.dcm", "--like", coarse, "-o", tmp_path / "mask.nii.gz")
    refused = run(*words)
    assert refused.exit_code == 2
    assert "--resample" in refused.output
    done = run(*words, "--resample")
    assert done.exit_code == 0, done.output
    expected = mask[:, ::2, ::2].transpose(2, 1, 0)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj) > 0, expected > 0)
    moved = workflows.regrid(tmp_path / "seg.dcm", coarse, resample=True)
    np.testing.assert_array_equal(moved.data.transpose(2, 1, 0) > 0, expected > 0)


def test_remarks_are_said_on_the_terminal(tmp_path, stack, bright):
    nib.save(nib.Nifti1Image(stack, None), tmp_path / "nowhere.nii.gz")
    words = ("--model", bright, "--device", "cpu", "--diameter", 12)
    done = run("segment", tmp_path / "nowhere.nii.gz", "-o", tmp_path / "a.nii.gz", *words)
    assert done.exit_code == 0
    assert "left and right cannot be told" in done.stderr


def test_a_place_is_kept_as_json_and_nothing_else_is_taken_for_one():
    anatomy = stand_up(AFFINE[[1, 0, 2, 3]] * [[-1], [1], [1], [1]], (4, 5, 6)).named({2: "mass"})
    kept = json.loads(json.dumps(anatomy.to_dict()))
    assert Anatomy.from_dict(kept) == anatomy
    for spoiled in (None, {}, kept | {"affine": [[1]]}, kept | {"order": [0, 0, 1]}, kept | {"header": "no"}):
        assert Anatomy.from_dict(spoiled) is None
    assert Image(np.zeros((6, 4, 4)), "zyx", anatomy=anatomy).anatomy is None  # of another size


def test_opening_a_scan_loads_only_what_it_needs(tmp_path, stack):
    save_nifti(tmp_path / "scan.nii.gz", stack)
    code = (
        "import sys, napari_unet.io.images, napari_unet.io.labels, napari_unet.widgets._reader\n"
        "extras = {'nibabel', 'pydicom', 'highdicom'}\n"
        "print(sorted(extras & set(sys.modules)))\n"
        f"napari_unet.io.images.read_image({str(tmp_path / 'scan.nii.gz')!r})\n"
        "print(sorted({'nibabel', 'highdicom', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['nibabel']"]
