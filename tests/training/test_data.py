"""Annotated images of every kind become pairs, and what is wrong with them is found."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_unet.core.anatomy import stand_up
from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import AxesError, ImageError, TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.specs import AugmentSpec, NetSpec, NormalizeSpec, TargetSpec, TrainSpec
from napari_unet.targets import target
from napari_unet.training import data as room
from napari_unet.training.data import Loader, truth_of
from napari_unet.training.holdout import check_leaks
from napari_unet.training.patches import Sampler

LEFT = (((-0.5, -0.5), (-0.5, 29.5), (79.5, 29.5), (79.5, -0.5)),)


def field(shape=(80, 90), seed=0):
    """Return squares of 12 pixels that are brighter than the noise around them."""
    rng, labels = np.random.default_rng(seed), np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(np.ndindex(3, 4), 1):
        labels[..., 5 + 24 * y : 17 + 24 * y, 4 + 21 * x : 16 + 21 * x] = 3 * number
    return (100 + 10 * rng.standard_normal(shape) + 800 * (labels > 0)).astype(np.float32), labels


def loader(ndim=2, inputs=1, **more):
    net = NetSpec(ndim=ndim, inputs=inputs, widths=(4, 8))
    return Loader(TrainSpec(net=net, normalize=NormalizeSpec(), target=TargetSpec(name="heat"), **more))


def example(image, labels, axes=None, **more):
    axes = axes or "tzyx"[-image.ndim :]
    return Example(Image(image, axes, name="field"), Image(labels, axes.replace("c", ""), name="labels"), **more)


def sampler(pairs, seed=0):
    spec = TrainSpec(
        net=NetSpec(inputs=1, widths=(4,)), diameter=13.5, augment=AugmentSpec(), batch=3, patch=32, seed=seed,
        target=TargetSpec(name="heat"),
    )  # fmt: skip
    return Sampler(pairs, spec, target("heat"))


def test_a_layer_becomes_a_pair():
    image, labels = field()
    (pair,) = loader().load(example(image, labels, group="patient 1", weight=2.0))
    assert (pair.name, pair.group, pair.weight, pair.diameter) == (
        "field",
        "patient 1",
        2.0,
        pytest.approx(13.54, 0.01),
    )
    assert torch.equal(pair.labels > 0, torch.from_numpy(labels > 0))
    assert len(pair.digest) == 16
    assert pair.facts["shape"] == (80, 90)


@pytest.mark.parametrize("axes", ["tyx", "zyx"])
def test_frames_and_planes_are_images_of_one_group(axes):
    image, labels = field((3, 80, 90))
    pairs = loader().load(example(image, labels, axes, weight=3.0))
    assert [pair.name for pair in pairs] == [f"field {axes[0]}={i}" for i in range(3)]
    assert {pair.group for pair in pairs} == {"field"}
    assert [pair.weight for pair in pairs] == [1.0] * 3
    assert len({pair.digest for pair in pairs}) == 3


def test_frames_of_volumes():
    image, labels = field((2, 6, 80, 90))
    pairs = loader(3).load(example(image, labels))
    assert [tuple(pair.labels.shape) for pair in pairs] == [(6, 80, 90)] * 2


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_channels_of_any_number(channels):
    image, labels = field()
    many = np.stack([image + i for i in range(channels)])
    (pair,) = loader(inputs=channels).load(example(many, labels, "cyx"))
    assert pair.levels[0].shape == (channels, 80, 90)
    with pytest.raises(TrainingDataError, match="as many channels as the others"):
        loader(inputs=4).load(example(np.stack([image] * 2), labels, "cyx"))


def test_channels_of_the_same_names_in_another_order_are_refused():
    image, labels = field()
    many = np.stack([image, image + 1, image + 2])

    def named(*names):
        return replace(example(many, labels, "cyx"), channels=names)

    once = loader(inputs=3)
    once.load(named("T1", "T2", "FLAIR"))
    once.load(named("t1", "t2", "flair"))
    once.load(named("a", "b", "c"))  # nobody knows what these are
    with pytest.raises(TrainingDataError, match="are T1, FLAIR, T2, but those of 'field' are T1, T2, FLAIR"):
        once.load(named("T1", "FLAIR", "T2"))
    known = replace(loader(inputs=3), known=("the model 'brain'", ("T2", "T1", "FLAIR")))
    with pytest.raises(TrainingDataError, match="those of the model 'brain' are T2, T1, FLAIR"):
        known.load(named("T1", "T2", "FLAIR"))


def test_axes_of_labels_may_stand_in_another_order():
    image, labels = field((3, 80, 90))
    turned = Example(Image(image, "tyx", name="a"), Image(labels.transpose(1, 2, 0), "yxt", name="b"))
    one, other = loader().load(example(image, labels, "tyx")), loader().load(turned)
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(one, other, strict=True))


def test_what_is_stored_gives_the_same_patches(monkeypatch, tmp_path):
    image, labels = field((200, 210))
    for name, truth in (("whole", {}), ("part", {"region": LEFT})):
        known = loader().load(example(image, labels, **truth))
        monkeypatch.setattr(room, "_HELD", 0)
        for number, store in enumerate((da.from_array(image, chunks=64), zarr.array(image, chunks=(50, 70)))):
            left = loader().load(example(store, labels, **truth))
            assert not isinstance(left[0].levels[0], torch.Tensor)
            assert (left[0].diameter, len(left[0].levels)) == (known[0].diameter, len(known[0].levels))
            for step in range(3):
                a, b = sampler(known, number).batch(step), sampler(left, number).batch(step)
                torch.testing.assert_close(a.image, b.image, rtol=0, atol=1e-4)
                assert torch.equal(a.target, b.target)
                torch.testing.assert_close(a.size, b.size)
                assert (a.known is None) == (b.known is None) == (name == "whole")
                assert a.known is None or torch.equal(a.known, b.known)
        monkeypatch.undo()


def test_huge_images_are_read_by_windows(monkeypatch):
    monkeypatch.setattr(room, "_LARGE", 10_000)
    image, labels = field((2000, 2000))
    read = []

    class Counted:
        dtype, shape, ndim = image.dtype, image.shape, 2

        def __getitem__(self, index):
            block = image[index]
            read.append(block.size)
            return block

    (pair,) = loader().load(example(Counted(), labels))
    read.clear()
    drawn = sampler([pair])
    batches = [drawn.batch(step) for step in range(6)]
    assert 0 < max(read) < 200**2
    assert len(pair.sizes) == 0
    assert pair.diameter == pytest.approx(13.54, 0.01)
    assert max(float(batch.size.max()) for batch in batches) > 0
    assert all(torch.isfinite(batch.image).all() for batch in batches)


def test_files_are_opened_again_when_needed(monkeypatch, tmp_path):
    monkeypatch.setattr(room, "_HELD", 0)
    files = []
    for seed in range(10):
        image, labels = field(seed=seed)
        tifffile.imwrite(tmp_path / f"{seed}.tif", image)
        tifffile.imwrite(tmp_path / f"{seed}-labels.tif", labels.astype("u2"))
        files.append(Example(tmp_path / f"{seed}.tif", tmp_path / f"{seed}-labels.tif"))
    load = loader()
    pairs = [pair for each in files for pair in load.load(each)]
    assert len(load._shelf._held) <= 8
    assert float(sampler(pairs).batch(0).target.max()) > 0
    (tmp_path / "0.tif").unlink()
    load._shelf._held.clear()
    with pytest.raises(Exception, match=r"no file .*0\.tif"):
        pairs[0].levels[0][:, 0:8, 0:8]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda i, n: (i, n[:70]), r"shape \(80, 90\) but its labels \(70, 90\)"),
        (lambda i, n: (i, n + 0.5), "fractions"),
        (lambda i, n: (i, n - 1), "values below 0"),
        (lambda i, n: (i, np.where(n > 0, 1.0, np.nan)), "fractions"),
        (lambda i, n: (i * 0, n), "the same everywhere"),
        (lambda i, n: (i * np.nan, n), "the same everywhere, or holds no numbers"),
        (lambda i, n: (i[:5], n[:5]), "at least 8 pixels"),
        (lambda i, n: (i, np.stack([n] * 2)), "axes zyx"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, text):
    with pytest.raises(TrainingDataError, match=text):
        loader().load(example(*change(*field()), axes=None) if change(*field())[1].ndim == 2 else _stacked(change))


def test_sequences_that_are_taken_for_time_are_named():
    image, labels = field((12, 80, 90))
    one = Example(Image(np.stack([image] * 4), "tzyx", name="p1"), Image(labels, "zyx", name="labels"))
    with pytest.raises(TrainingDataError, match=r"4 time points .* labels have no time.*channel_names"):
        loader(3).load(one)


def _stacked(change):
    image, labels = change(*field())
    return Example(Image(image, "yx", name="field"), Image(labels, "zyx", name="labels"))


def test_intensities_of_other_channels_are_refused_by_the_name_of_the_model():
    image, labels = field()
    known = NormalizeSpec(kind="fixed", offset=(0, 0, 0), divisor=(1, 2, 3), joint=False)
    one = loader(inputs=3)
    with pytest.raises(TrainingDataError, match="'field' has 1 channel, but the model 'land' is for 3"):
        replace(one, spec=one.spec.model_copy(update={"normalize": known, "start": "land"})).load(
            example(image, labels)
        )


def test_an_image_of_which_nothing_is_known_is_refused():
    image, labels = field()
    outside = (((200.0, 200.0), (200.0, 300.0), (300.0, 300.0)),)
    for given in (example(image, labels, region=outside), example(image, 0 * labels, scribbles=True)):
        with pytest.raises(TrainingDataError, match="Nothing of 'field' is known"):
            loader().load(given)


def test_whole_fractions_and_gray_pictures_of_labels_will_do(tmp_path):
    image, labels = field()
    (as_float,) = loader().load(example(image, labels.astype(np.float64)))
    assert torch.equal(as_float.labels, loader().load(example(image, labels))[0].labels)
    gray = np.stack([labels.astype(np.uint8)] * 3, -1)
    tifffile.imwrite(tmp_path / "gray.tif", gray, photometric="rgb")
    (as_gray,) = loader().load(Example(as_image(image), tmp_path / "gray.tif"))
    assert torch.equal(as_gray.labels, as_float.labels)
    gray[20, 20] = 1, 2, 3
    tifffile.imwrite(tmp_path / "colors.tif", gray, photometric="rgb")
    with pytest.raises(TrainingDataError, match=r"colors\.tif' are a picture in .* colors.*Save Selected Layers"):
        loader().load(Example(as_image(image), tmp_path / "colors.tif"))


def test_doubtful_images_are_named():
    image, labels = field()
    for given, text in (
        (example(np.where(labels == 3, np.nan, image), labels), "144 pixels that are no numbers"),
        (example(image, np.where(labels > 0, 255, 0)), "one value only"),
        (example(image, np.where(labels > 0, 1 + labels % 2, 0)), "The 2 numbers in the labels of 'field' mark 12"),
        (example(image, labels * 0), "learned as background"),
        (example(np.stack([image] * 2), np.stack([labels, 0 * labels])), "1 of 2 planes"),
        (example(image, labels, scribbles=True), "mark no background"),
    ):
        load = loader()
        load.load(given)
        assert len(load.warnings) == 1
        assert text in load.warnings[0]
    load = loader()
    load.load(example(image, np.where(labels == 3, 1, labels), scribbles=True))
    assert load.warnings == []


def test_a_volume_that_is_labeled_in_a_few_planes_is_named():
    image, labels = field()
    volume, few = np.stack([image] * 12), np.stack([labels] * 2 + [0 * labels] * 10)
    for region in (None, LEFT):
        load = loader(ndim=3)
        load.load(example(volume, few, "zyx", region=region))
        assert [text for text in load.warnings if "Only 2 of 12 planes of 'field'" in text]
    load = loader(ndim=3)
    load.load(example(volume, np.stack([labels] * 12), "zyx"))
    load.load(example(volume, few, "zyx", scribbles=True))
    assert not [text for text in load.warnings if "planes" in text]


def test_channels_that_a_model_does_not_take_are_said_of_that_model():
    image, labels = field()
    with pytest.raises(TrainingDataError, match=r"the model 'nuclei' takes 1 or 3 channels\. Start from another model"):
        loader(inputs=3, start="nuclei").load(example(np.stack([image] * 2), labels, axes="cyx"))
    with pytest.raises(TrainingDataError, match=r"the network takes 1 channel\. Take images"):
        loader().load(example(np.stack([image] * 2), labels, axes="cyx"))


def test_an_image_that_is_labeled_in_a_part_only_is_named():
    image, labels = field()
    part = np.where(np.arange(90) < 40, labels, 0)
    part[40:] = 0
    one = loader()
    one.load(example(image, part))
    assert [text for text in one.warnings if "lie in 16% of its area" in text]
    again = loader()
    again.load(example(image, labels))
    again.load(example(image, part, region=LEFT))
    assert not [text for text in again.warnings if "of its area" in text]


def test_what_the_run_says_of_all_examples():
    whole, part = example(*field()), example(*field(), region=LEFT)
    assert truth_of(whole, TrainSpec()).partial is False
    assert truth_of(part, TrainSpec(truth="regions")).region == LEFT
    assert truth_of(whole, TrainSpec(truth="scribbles")).background == 1
    with pytest.raises(TrainingDataError, match="has no region"):
        truth_of(whole, TrainSpec(truth="regions"))


def test_a_stack_of_one_plane_is_a_plane():
    image, labels = field()
    flat = Example(Image(image[None], "zyx", name="flat"), Image(labels[None], "zyx", name="labels"))
    (one,), (other,) = loader().load(flat), loader().load(example(image, labels))
    assert torch.equal(one.labels, other.labels)
    with pytest.raises(AxesError, match="needs 3"):
        loader(3).load(example(image, labels))
    with pytest.raises(TrainingDataError, match="incomplete"):
        Loader(TrainSpec()).load(flat)


def test_medical_labels_must_lie_where_their_image_lies():
    image, labels = (np.repeat(each[None], 4, 0) for each in field())
    here, there = (stand_up(np.diag([0.7, 0.7, 3.0, 1.0]) + shift, (90, 80, 4)) for shift in (0, np.eye(4, k=3)))
    scan = Image(image, "zyx", name="scan", anatomy=here)
    assert loader(3).load(Example(scan, Image(labels, "zyx", anatomy=here)))
    with pytest.raises(ImageError, match="lie on another grid than the image 'scan'"):
        loader(3).load(Example(scan, Image(labels, "zyx", anatomy=there)))


def test_blank_planes_are_no_copies_of_each_other():
    stacks = []
    for seed in range(2):
        image, labels = field((3, 80, 90))
        image = image + np.random.default_rng(seed).integers(1, 9, image.shape).astype(image.dtype)
        image[0], labels[0] = 0, 0
        stacks.append(loader().load(example(image, labels, "zyx", group=f"patient {seed}")))
    assert [pair.digest == "" for pair in stacks[0]] == [True, False, False]
    check_leaks(*stacks)
    with pytest.raises(TrainingDataError, match="the same image is learned from"):
        check_leaks(stacks[0], [replace(stacks[0][1], group="another")])


@pytest.mark.parametrize("kind", [np.uint8, bool])
def test_a_mask_of_ones_is_named_where_it_has_several_parts(kind):
    image, labels = field()
    one = loader()
    one.load(example(image, (labels > 0).astype(kind)))
    assert "have one value only" in one.warnings[0]
    single = loader()
    single.load(example(image, (labels == 3).astype(kind)))
    assert not [text for text in single.warnings if "one value" in text]


def test_what_is_held_out_is_not_said_to_be_learned():
    image, labels = field()
    load = loader()
    load.load(example(image, np.zeros_like(labels)), judged=True)
    assert "all of it counts as background" in load.warnings[0]


def test_a_copy_with_other_numbers_is_the_same_image():
    image, labels = field()
    image = (100 * image).astype(np.uint16)
    (plain,) = loader().load(example(image, labels))
    (halved,) = loader().load(example(image.astype(np.float32), labels))
    color = Example(Image(np.stack([image] * 3), "cyx"), Image(labels, "yx"))
    (colored,) = loader(inputs=3).load(color)
    other = image.copy()
    other[0, 0] += 1
    (another,) = loader().load(example(other, labels))
    assert plain.digest == halved.digest == colored.digest != another.digest
