"""Folders as nnU-Net and the Medical Segmentation Decathlon have them, and tables of files for each channel."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from napari_unet.core.bands import band_names
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.io.dataset import read_dataset
from napari_unet.io.pairs import find_examples, read_example


def touch(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def describe(folder, **said):
    (folder / "dataset.json").write_text(json.dumps(said))


@pytest.fixture
def cases(tmp_path):
    images = [f"imagesTr/{case}_{number}.nii.gz" for case in ("brain_1", "brain_2") for number in ("0001", "0000")]
    labels = [f"labelsTr/{case}.nii.gz" for case in ("brain_1", "brain_2")]
    return touch(tmp_path, *images, *labels, "imagesTr/._brain_1_0000.nii.gz", "imagesTs/brain_3_0000.nii.gz")


def test_files_with_numbers_are_channels_of_a_case(cases):
    describe(cases, channel_names={"1": "FLAIR", "0": "T1, post"}, labels={"background": 0, "tumor": 1})
    one, two = find_examples(cases)
    assert one.image == (cases / "imagesTr" / "brain_1_0000.nii.gz", cases / "imagesTr" / "brain_1_0001.nii.gz")
    assert (one.labels, one.name) == (cases / "labelsTr" / "brain_1.nii.gz", "brain_1")
    assert one.channels == two.channels == ("T1 post", "FLAIR")
    assert one.source == ";".join(map(str, one.image))


def test_one_channel_is_a_plain_image(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.tif", "imagesTr/a_0000.json", "imagesTr/b.tif", "labelsTr/a.tif", "labelsTr/b.png")
    assert [example.image.name for example in find_examples(tmp_path)] == ["a_0000.tif", "b.tif"]


def test_the_decathlon_names_images_as_their_labels(tmp_path):
    names = [f"{folder}/hippocampus_001.nii.gz" for folder in ("imagesTr", "labelsTr")]
    touch(tmp_path, *names, "imagesTr/._hippocampus_001.nii.gz", "labelsTr/._hippocampus_001.nii.gz")
    describe(tmp_path, modality={"0": "MRI"}, labels={"0": "background", "1": "Anterior", "2": "Posterior"})
    (example,) = find_examples(tmp_path)
    assert (example.image, example.channels) == (tmp_path / "imagesTr" / "hippocampus_001.nii.gz", ())
    assert read_dataset(tmp_path).classes == ((1, "Anterior"), (2, "Posterior"))


def test_outlines_beside_labels_of_the_same_name_are_left(tmp_path):
    touch(tmp_path, *(f"images/{name}.tif" for name in "abc"))
    touch(tmp_path, "labels/a.tif", "labels/a.zip", "labels/b.geojson", "labels/b.png", "labels/c.roi")
    assert [example.labels.name for example in find_examples(tmp_path)] == ["a.tif", "b.png", "c.roi"]
    touch(tmp_path, "labels/a.png")
    with pytest.raises(TrainingDataError, match=r"labels/a.png' and '.*labels/a.tif' bear one name"):
        find_examples(tmp_path)


def test_numbers_are_no_channels_where_labels_have_them_too(tmp_path):
    touch(tmp_path, *(f"{folder}/t_{number}.tif" for folder in ("images", "labels") for number in ("0000", "0001")))
    assert [example.image.name for example in find_examples(tmp_path)] == ["t_0000.tif", "t_0001.tif"]


def test_a_case_that_lacks_a_channel_is_named(cases):
    (cases / "imagesTr" / "brain_2_0001.nii.gz").unlink()
    with pytest.raises(TrainingDataError, match=r"1 of 2 cases .* lack a channel that others have: brain_2 \(0001\)"):
        find_examples(cases)
    (cases / "imagesTr" / "brain_2_0000.nii.gz").rename(cases / "imagesTr" / "brain_2.nii.gz")
    with pytest.raises(TrainingDataError, match=r"brain_1 \(without a number\), brain_2 \(0000, 0001\)"):
        find_examples(cases)


def test_a_channel_that_is_there_twice_or_has_no_labels_is_refused(cases):
    touch(cases, "imagesTr/brain_1_0000.tif")
    with pytest.raises(TrainingDataError, match="bear one name"):
        find_examples(cases)
    (cases / "imagesTr" / "brain_1_0000.tif").rename(cases / "imagesTr" / "other_0000.tif")
    with pytest.raises(TrainingDataError, match=r"other_0000.tif' has no labels"):
        find_examples(cases)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "null",
        '{"labels": [1]}',
        '{"labels": {"one": "tumor"}}',
        '{"labels": {"tumor": -1}}',
        '{"labels": {"tumor": true}}',
        '{"labels": {"a": 1, "b": 1}}',
        '{"labels": {"1": ""}}',
        '{"labels": {"1": "\\u0007"}}',
        '{"labels": {"1": "' + "x" * 99 + '"}}',
        '{"labels": {"99999999": "x"}}',
        '{"channel_names": {"0": ["T1"]}}',
        '{"channel_names": {"1": "T1", "2": "T2"}}',
        "[" * 100_000,
    ],
)
def test_a_bad_description_is_refused_in_words(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(TrainingDataError, match=r"dataset\.json'"):
        read_dataset(tmp_path)


def test_what_is_no_class_or_tells_nothing_apart_is_left_out(tmp_path):
    assert read_dataset(tmp_path) == ((), (), ())
    describe(
        tmp_path, labels={"background": 0, "whole tumor": [1, 2], "core": [2]}, channel_names={"0": "T1", "1": "t1"}
    )
    assert read_dataset(tmp_path) == ((), (), ())
    describe(tmp_path, labels={"background": 0, "edema": 2, "7": 7, "ignore": 9}, channel_names={"0": "0", "1": "T1"})
    assert read_dataset(tmp_path) == (("channel 0", "T1"), ((2, "edema"), (7, "class 7")), (9,))


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "tumor": 1, "ignore": 3},
        {"0": "background", "1": "tumor", "3": "Ignore"},
        {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
    ],
)
def test_what_nnunet_ignores_is_known_to_be_unknown(cases, labels):
    describe(cases, labels=labels)
    assert read_dataset(cases).ignored == (3,)
    assert {example.ignored for example in find_examples(cases)} == {(3,)}


def test_notes_and_what_windows_leaves_are_no_images(cases):
    touch(cases, "imagesTr/Thumbs.db", "imagesTr/desktop.ini", "labelsTr/README.md", "imagesTr/notes.txt")
    assert len(find_examples(cases)) == 2


def test_a_table_names_files_for_each_channel(tmp_path):
    touch(tmp_path, "T1.nii", "FLAIR.nii", "odd;name.nii", "labels.nii")
    (tmp_path / "a.csv").write_text(
        "image,labels,channels\nT1.nii; FLAIR.nii,labels.nii,T1; FLAIR\nodd;name.nii,labels.nii,\n"
    )
    two, one = find_examples(tmp_path / "a.csv")
    assert (two.image, two.channels) == ((tmp_path / "T1.nii", tmp_path / "FLAIR.nii"), ("T1", "FLAIR"))
    assert two.name == tmp_path.name  # a folder for each patient
    assert (one.image, one.channels) == (tmp_path / "odd;name.nii", ())
    (tmp_path / "FLAIR.nii").unlink()
    with pytest.raises(TrainingDataError, match=r"FLAIR.nii', named by .* does not exist"):
        find_examples(tmp_path / "a.csv")


def test_names_go_to_the_channels_also_of_a_fourth_dimension(tmp_path):

    for name, shape in (("four.nii", (5, 6, 7, 2)), ("three.nii", (5, 6, 7))):
        nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / name)
    image = read_example(Example(tmp_path / "four.nii", tmp_path, channels=("T1", "FLAIR")))
    assert (image.axes, image.scale, band_names(image)) == ("czyx", (1, 1, 1, 1), ("T1", "FLAIR"))
    assert image.anatomy is not None
    with pytest.raises(TrainingDataError, match=r"has 1 channel, but 2 are named: T1, FLAIR"):
        read_example(Example(tmp_path / "three.nii", tmp_path, channels=("T1", "FLAIR")))
