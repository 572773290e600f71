"""Pieces of a class that are too small are left out, class by class, the same however the volume is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from typer.testing import CliRunner

from napari_unet import workflows
from napari_unet.cli import app
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import label_hash
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.models.store import write_model
from napari_unet.nets import build

TOGETHER = np.ones((3, 3, 3), bool)


def noise():
    return ndimage.gaussian_filter(np.random.default_rng(0).random((20, 48, 40)), 1.0).astype(np.float32)


def drawn(place, nested, **target):
    """Write a network that finds many small pieces in noise."""
    net = NetSpec(ndim=3, inputs=1, outputs=2 if nested else 3, widths=(4, 8))
    torch.manual_seed(1)
    network = build(net).eval()
    with torch.no_grad():
        network.head.weight.mul_(20)
        scores = network((torch.from_numpy(noise()) - noise().mean())[None, None] / noise().std())[0]
        network.head.bias.sub_(torch.quantile(scores.flatten(1), 0.8, dim=1))
        if not nested:  # the background is the same everywhere
            network.head.weight[0], network.head.bias[0] = 0, 0
    rule = TargetSpec(name="classes", classes=("whole", "core"), nested=nested, **target)
    write_model(
        place,
        ModelCard(name=place.name, net=net, target=rule, grid={"kind": "pixels"}, normalize={"kind": "mean_std"}),
        network,
    )
    return str(place)


@pytest.fixture(scope="module")
def volume():
    return Image(noise(), "zyx", (3.0, 0.5, 0.5), ("millimeter",) * 3, name="volume")


@pytest.mark.parametrize("nested", [False, True], ids=["classes", "regions"])
def test_the_same_however_it_is_cut(nested, volume, tmp_path):
    model = drawn(tmp_path / "model", nested)
    sizes = {"whole": "30 mm3", "core": 9}  # 40 and 9 voxels
    plain = np.asarray(workflows.segment(volume, model=model).labels.data)
    found = workflows.segment(volume, model=model, min_size=sizes)
    assert found.manifest["smallest"] == [40.0, 9.0]
    labels = np.asarray(found.labels.data)
    for kind, least in ((1, 40), (2, 9)):
        before, after = (ndimage.label(x >= kind if nested else x == kind, TOGETHER)[0] for x in (plain, labels))
        assert np.bincount(before.ravel())[1:].min() < least
        assert np.bincount(after.ravel())[1:].min() >= least
    assert set(np.unique(labels[labels != plain])) <= ({0, 1} if nested else {0})
    workflows.write_image(tmp_path / "volume.tif", volume)
    text = "whole=30 mm3, core=9"
    for number, tile in enumerate((8, 16, 0)):
        output = tmp_path / f"{number}.ome.zarr"
        words = ["segment", str(tmp_path / "volume.tif"), "-o", str(output), "--model", model, "--min-size", text]
        done = CliRunner().invoke(app, [*words, "--axes", "zyx", "--tile", str(tile), "--workers", "2"])
        assert done.exit_code == 0, done.output
        assert label_hash(np.asarray(workflows.read_labels(output).data)) == found.hash
        assert workflows.segment(volume, model=model, min_size=text, tiling={"tile": tile}).hash == found.hash


def test_a_model_may_say_it_of_itself(volume, tmp_path):
    silent, careful = drawn(tmp_path / "a", True), drawn(tmp_path / "b", True, min_size="core=20")
    asked = workflows.segment(volume, model=silent, min_size="core=20")
    assert workflows.segment(volume, model=careful).hash == asked.hash
    assert workflows.segment(volume, model=careful, min_size=0).hash == workflows.segment(volume, model=silent).hash


@pytest.mark.parametrize(("size", "words"), [("rim=3", "no class 'rim'"), ("9 mm2", "no volume"), ("big", "no size")])
def test_what_cannot_be_is_said_before_the_run(size, words, volume, tmp_path):
    model = drawn(tmp_path / "model", True)
    with pytest.raises(SpecError, match=words):
        workflows.segment(volume, model=model, min_size=size)


def test_numbers_are_one_setting_however_they_are_written():
    assert SegmentSpec.of(min_size="12") == SegmentSpec.of(min_size=12)
    assert SegmentSpec.of(min_size={"core": 3, "whole": "0.5 ml"}).min_size == "core=3, whole=0.5 ml"
    with pytest.raises(SpecError):
        SegmentSpec.of(min_size=-1)
