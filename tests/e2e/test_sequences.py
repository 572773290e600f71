"""T1 and FLAIR of each patient in files of their own, from a folder of training to labels on the grid of the scan."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.results import label_hash
from napari_unet.core.specs import SegmentSpec, TrainSpec
from napari_unet.io.dataset import read_dataset
from napari_unet.models.cards import read_card
from napari_unet.training.folds import train_folds
from napari_unet.training.plan import name_classes

from ..commands import bad, good

SHAPE = (40, 36, 16)  # of the stored array: x, y, z
AFFINE = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 20], [0, 0, 1, -9], [0, 0, 0, 1]])


def phantom(seed):
    """Return T1, FLAIR and labels: what is bright in FLAIR is a lesion unless it is bright in T1, too."""
    rng = np.random.default_rng(seed)
    both = np.zeros((2, *SHAPE), np.int16)
    truth = np.zeros(SHAPE, np.uint8)
    for number, corner in enumerate(rng.permutation([(4, 4), (4, 20), (22, 4), (22, 20)])):
        x, y = corner + rng.integers(0, 4, 2)
        spot = (slice(x, x + 11), slice(y, y + 11), slice(4, 12))
        both[0][spot] += 400 * (number != 0)
        both[1][spot] += 400 * (number < 2)
        truth[spot] = number == 0
    both += rng.normal(200, 20, both.shape).astype(np.int16)
    return both[0], both[1], truth


def save(file, values, affine=AFFINE):
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data = tmp_path_factory.mktemp("brains")
    for seed in range(4):
        t1, flair, truth = phantom(seed)
        save(data / "imagesTr" / f"brain_{seed}_0000.nii.gz", t1)
        save(data / "imagesTr" / f"brain_{seed}_0001.nii.gz", flair)
        save(data / "labelsTr" / f"brain_{seed}.nii.gz", truth)
    said = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "lesion": 1}}
    (data / "dataset.json").write_text(json.dumps(said))
    return data


def how(**more):
    net = {"architecture": "unet", "ndim": 3, "inputs": 2, "outputs": 2, "widths": [8, 16]}
    values = {
        "task": "tumor",
        "name": "brain",
        "steps": 60,
        "every": 60,
        "patch": 32,
        "depth": 16,
        "batch": 2,
        "net": net,
    }
    return TrainSpec.of(**values | {"rate": 2e-2, "average": 0.9, "device": "cpu"} | more)


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    return napari_unet.train(folder, how(), tmp_path_factory.mktemp("models") / "brain")


@pytest.fixture
def scan(tmp_path):
    t1, flair, truth = phantom(9)
    four = np.stack([t1, flair], axis=-1)[..., None, :]
    return (
        save(tmp_path / "p9_T1.nii.gz", t1), save(tmp_path / "p9_FLAIR.nii.gz", flair),
        save(tmp_path / "p9.nii.gz", four), truth,
    )  # fmt: skip


def hash_of(file):
    return label_hash(np.asarray(workflows.read_labels(file).data))


def test_all_ways_to_give_both_channels_find_the_same_lesion(model, scan, tmp_path):
    t1, flair, four, truth = scan
    card = read_card(model)
    assert (card.bands, card.channels, card.net.inputs) == (("T1", "FLAIR"), (2,), 2)
    how = ("--model", model, "--device", "cpu", "--json")
    said = json.loads(good("segment", t1, "--channel", flair, "-o", tmp_path / "a.nii.gz", *how))
    assert said["channels"] == ["T1", "FLAIR"]
    written = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(written.affine, nib.load(t1).affine)
    found = np.asarray(written.dataobj) > 0
    assert 2 * (found & (truth > 0)).sum() / (found.sum() + truth.sum()) > 0.8
    spec = SegmentSpec.of(model=str(model), device="cpu")
    hashes = {
        said["labels_hash"],
        napari_unet.segment([str(t1), flair], spec).hash,
        napari_unet.segment(napari_unet.read_image((t1, flair)), spec).hash,
        napari_unet.segment(four, spec).hash,
        # Channels that bear the names of the model's are found in any order.
        napari_unet.segment([flair, t1], spec).hash,
    }
    assert len(hashes) == 1
    swapped = napari_unet.segment([flair, t1], spec, channels=(0, 1))
    assert swapped.hash not in hashes
    assert swapped.manifest["image"]["channels"] == ["FLAIR", "T1"]


def test_a_run_that_is_kept_is_one_of_all_its_files(model, scan, tmp_path):
    t1, flair, _, _ = scan
    out, how = tmp_path / "a.ome.zarr", ("--model", model, "--device", "cpu")
    good("segment", t1, "--channel", flair, "-o", out, *how)
    good("segment", t1, "--channel", flair, "-o", out, *how)  # verified
    assert "image" in bad("segment", flair, "--channel", t1, "-o", out, *how)
    assert "0" in good("audit", out, t1, "--channel", flair)
    assert "not the image of these labels" in bad("audit", out, flair, "--channel", t1)
    assert "would replace the image" in bad("segment", t1, "--channel", flair, "-o", flair, *how, "--overwrite")


def test_parts_of_a_run_open_all_files(model, scan, tmp_path):
    t1, flair, _, _ = scan
    whole, how = tmp_path / "whole.ome.zarr", ("--model", model, "--device", "cpu")
    good("segment", t1, "--channel", flair, "-o", whole, *how)
    out = tmp_path / "parts.ome.zarr"
    for part in (1, 2):
        good("segment", t1, "--channel", flair, "-o", out, *how, "--part", part, "--of", 2)
    good("finalize", out)
    assert hash_of(out) == hash_of(whole)


def test_what_does_not_fit_is_refused(model, scan, tmp_path):
    t1, _, _, _ = scan
    how = ("-o", tmp_path / "a.nii.gz", "--model", model, "--device", "cpu")
    moved = AFFINE.copy()
    moved[0, 3] += 2.5
    other = save(tmp_path / "moved_FLAIR.nii.gz", phantom(9)[1], moved)
    assert "voxels lie up to 2.5 mm away" in bad("segment", t1, "--channel", other, *how)
    words = bad("segment", t1, *how)
    assert "learned from 2 channels (T1, FLAIR), but 'p9_T1' gives one" in words
    assert "--channel" in words
    both = save(tmp_path / "both.nii.gz", np.stack(phantom(9)[:2], axis=-1))
    words = bad("segment", both, *how)
    assert "as many time points (axes tzyx)" in words
    assert "--axes czyx" in words
    good("segment", both, *how, "--axes", "czyx")


def test_a_case_that_lacks_a_channel_stops_a_training(folder, tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").symlink_to(folder / "labelsTr")
    for file in (folder / "imagesTr").iterdir():
        if file.name != "brain_2_0001.nii.gz":
            (tmp_path / "imagesTr" / file.name).symlink_to(file)
    with pytest.raises(TrainingDataError, match=r"brain_2 \(0001\)"):
        napari_unet.train(tmp_path, how(), tmp_path / "model")


def test_folds_know_the_channels_by_name_too(folder, tmp_path):
    spec = how(steps=2, every=2, folds=2)
    made = napari_unet.core.steps.finish(train_folds(folder, spec, tmp_path / "brain"))
    assert read_card(made).bands == ("T1", "FLAIR")
    assert {read_card(card.parent).bands for card in tmp_path.rglob("*fold*/card.json")} == {("T1", "FLAIR")}


def test_classes_of_organs_are_called_as_the_folder_says(folder):
    assert read_dataset(folder).classes == ((1, "lesion"),)
    named = name_classes(TrainSpec.of(task="organ", name="a"), folder)
    assert (named.target.classes, named.class_values) == (("lesion",), (1,))
    assert name_classes(how(), folder) == how()
    said = good("train", folder, "--task", "organ", "--name", "organs-of-mine", "--dry-run", "--json")
    assert json.loads(said)["spec"]["target"]["classes"] == ["lesion"]


def test_each_channel_is_measured_by_its_name_and_a_report_shows_the_first(scan, tmp_path, monkeypatch):
    t1, flair, four, truth = scan
    monkeypatch.chdir(tmp_path)
    mask = save(tmp_path / "mask.nii.gz", truth)
    both = napari_unet.read_image([t1, flair])
    labels = workflows.read_labels(mask, None, both)
    good("measure", mask, "--image", t1, "--channel", flair, "-o", "objects.csv")
    table, expected = workflows.read_table("objects.csv"), napari_unet.measure(labels, both)
    assert list(table) == list(expected)
    for name in ("intensity_mean_T1", "intensity_std_FLAIR", "intensity_max_T1", "intensity_sum_FLAIR"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-5)
    inside = np.asarray(labels.data) > 0
    np.testing.assert_allclose(table["intensity_mean_T1"], both.data[0][inside].mean(), rtol=1e-5)
    np.testing.assert_allclose(table["intensity_mean_FLAIR"], both.data[1][inside].mean(), rtol=1e-5)

    lesions = ("measure", mask, "--measure", "lesions", "--image")
    good(*lesions, t1, "--channel", flair, "-o", "lesions.csv")
    found = workflows.measure_lesions(labels, both)
    table = workflows.read_table("lesions.csv")
    assert list(table) == list(found.table)
    np.testing.assert_allclose(table["intensity_p50_FLAIR"], found.table["intensity_p50_FLAIR"], rtol=1e-5)
    good(*lesions, t1, "-o", "alone.csv")
    alone = workflows.read_table("alone.csv")
    np.testing.assert_array_equal(alone["intensity_p95"], table["intensity_p95_T1"])
    good(*lesions, four, "-o", "four.csv")  # one file that does not name its channels
    np.testing.assert_allclose(workflows.read_table("four.csv")["intensity_p95_c1"], table["intensity_p95_FLAIR"])
    assert "--image" in bad("measure", mask, "--channel", flair, "-o", "none.csv")
    assert "is given twice" in bad(*lesions, t1, "--channel", t1, "-o", "none.csv")

    report = ("report", t1, mask, "--channel", flair, "--quantity", "ms,s")
    good(*report, "-o", "both.html")
    good("report", t1, mask, "--quantity", "ms", "-o", "one.html")
    said, one = ((tmp_path / f"{name}.html").read_text("utf-8") for name in ("both", "one"))
    pictures = [re.findall(r"base64,([^\"]+)", page) for page in (said, one)]
    assert pictures[0] == pictures[1] != []
    assert "Mean, channel 0 (ms)" in said
    assert "95th percentile, channel 1 (s)" in said
    assert "Pictures show channel 0." in said
    assert "Pictures show" not in one
    assert not re.search("FLAIR|T1|p9", re.sub(r"base64,[^\"]+", "", said))  # names of files name nobody
    workflows.report_lesions("python.html", workflows.measure_lesions(labels, both, quantity="ms,s"), both)
    assert (tmp_path / "python.html").read_text("utf-8") == said
    good(*report, "-o", "both.pdf")
    assert "3 channels" in bad("report", t1, mask, "--channel", flair, "--quantity", "ms,s,m", "-o", "none.html")
