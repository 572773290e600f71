"""Training with the choices that change what a network puts out: no padding, deep supervision, heads, dropout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from napari_unet.core.errors import SpecError, TrainingDataError
from napari_unet.core.networks import load_network
from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.models.cards import read_card
from napari_unet.nets import patch
from napari_unet.samples.simulated import nuclei
from napari_unet.training.fit import fit
from napari_unet.training.loss import compare
from napari_unet.training.patches import Batch, Sampler, make_pair
from napari_unet.training.run import make_card


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pair(seed=0, ndim=2):
    shape = (20, 40, 40)[-ndim:]
    image, labels = np.random.default_rng(seed).normal(0.2, 0.1, shape), np.zeros(shape, np.int32)
    labels[..., 4:14, 4:14], labels[..., 20:34, 16:30] = 1, 2
    return make_pair((image + 0.7 * (labels > 0))[None].astype(np.float32), labels, "two squares")


def spec(net, **more):
    values = {
        "net": net, "target": TargetSpec(name="heat"), "augment": AugmentSpec(), "diameter": 12.0, "steps": 2,
        "batch": 2, "patch": 30, "every": 1, "threads": 1, "normalize": {},
    }  # fmt: skip
    return TrainSpec(**(values | more))


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


NETS = [
    load_network("unet-2015", 2, 1, 1, widths=(2, 3, 4)),
    load_network("unet-2015", 3, 1, 1, widths=(2, 3), convolutions=1),
    NetSpec(widths=(2, 3, 4, 4), deep_supervision=True, heads=(2, 1), padding="valid", convolutions=1),
    load_network("nested-unet", 2, 1, 1, widths=(2, 3, 4), padding="valid"),
    load_network("residual-unet", 3, 1, 1, widths=(2, 3, 4), blocks=(1, 2, 1), strides=((1, 2, 2), (2, 2, 2))),
]


@pytest.mark.parametrize("net", NETS, ids=str)
def test_every_kind_of_output_is_learned(tmp_path, net):
    how = spec(net)
    network = finish(fit([pair(ndim=net.ndim)], how, tmp_path))
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, *(16,) * net.ndim)).shape == (1, 3, *(16,) * net.ndim)
    start = NetSpec(**net.model_dump() | {"outputs": 3})
    torch.manual_seed(how.seed)
    from napari_unet.nets import build

    before = build(start)
    changed = [name for name, value in before.named_parameters() if not torch.equal(value, network.state_dict()[name])]
    assert changed == [name for name, _ in before.named_parameters()]


def test_unpadded_scores_are_compared_with_the_middle_of_the_truth():
    learn = type(
        "Learn", (), {"CHANNELS": ("foreground",), "loss": staticmethod(lambda s, t, *_: ((s - t) ** 2).mean())}
    )
    truth = torch.zeros(1, 1, 12, 12)
    truth[..., 4:8, 4:8] = 1
    size = torch.zeros(1, 12, 12)
    size[..., 4:8, 4:8] = 0.25
    batch = Batch(torch.zeros(1, 1, 12, 12), truth, size)
    right = torch.cat([torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.25).logit()], 1)
    loss = compare(learn, TrainSpec())
    assert float(loss(right, batch)) == pytest.approx(0, abs=1e-6)
    assert float(loss(right * 0, batch)) > 1


def test_patches_are_as_large_as_the_network_takes(tmp_path, monkeypatch):
    seen = []

    def batch(self, step, part=slice(None)):
        seen.append(self.spec.patch)
        return drawn(self, step, part)

    drawn = Sampler.batch
    monkeypatch.setattr(Sampler, "batch", batch)
    valid = load_network("unet-2015", 2, 1, 1, widths=(2, 3, 4))
    finish(fit([pair()], spec(valid, steps=1), tmp_path / "a"))
    finish(fit([pair()], spec(NetSpec(widths=(2, 3, 4)), steps=1), tmp_path / "b"))
    # 44 -> 40, 20 -> 16, 8 -> 4, 8 -> 4, 8 -> 4; padded a multiple of 4.
    assert set(seen) == {44, 32} == {patch(valid, 30), patch(NetSpec(widths=(2, 3, 4)), 30)}


def test_a_stopped_run_with_dropout_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    how = spec(NetSpec(widths=(3, 4), dropout=0.5), steps=3)
    whole = weights(finish(fit([pair()], how, tmp_path / "whole")))
    for progress in (steps := fit([pair()], how, tmp_path / "cut")):
        if progress.done == 1:
            break
    steps.close()
    torch.rand(5)
    cut = weights(finish(fit([pair()], how, tmp_path / "cut")))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_a_checkpoint_of_an_earlier_program_is_resumed(tmp_path):
    how = spec(NetSpec(widths=(3, 4)), steps=2)
    for progress in (steps := fit([pair()], how, tmp_path)):
        if progress.done == 1:
            break
    steps.close()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    written = json.loads(state["spec"])
    del written["network"], written["net"]["dropout"], written["net"]["heads"]
    torch.save(state | {"spec": json.dumps(written)}, tmp_path / "last.pt")
    shown = []
    finish(fit([pair()], how, tmp_path), shown.append)
    assert sorted({p.done for p in shown}) == [1, 2]
    with pytest.raises(TrainingDataError, match="other settings"):
        finish(fit([pair()], spec(NetSpec(widths=(3, 4), dropout=0.1), steps=2), tmp_path))


def test_heads_that_do_not_fit_are_found_before_the_first_step(tmp_path):
    with pytest.raises(SpecError, match="put out 2 channels together, but the network has 3"):
        next(fit([pair()], spec(NetSpec(widths=(2, 3), heads=(1, 1))), tmp_path))


def test_the_command_trains_a_preset(tmp_path, monkeypatch):
    from napari_unet.cli import app

    small = NetSpec(**load_network("attention-unet", 2, 3, 4).model_dump() | {"widths": (2, 3, 4)})
    monkeypatch.setattr(
        "napari_unet.core.networks.Network.spec",
        lambda self, *size, **_: small if self.name == "attention-unet" else None,
    )
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    image, labels = nuclei((48, 48), count=5, diameter=14, seed=0)
    tifffile.imwrite(tmp_path / "data" / "images" / "0.tif", image)
    tifffile.imwrite(tmp_path / "data" / "labels" / "0.tif", labels.astype("u2"))
    command = ["train", str(tmp_path / "data"), "--name", "gated", "--folder", str(tmp_path / "gated"), "--steps", "1"]
    command += ["--batch", "1", "--patch", "32", "--threads", "1"]
    done = CliRunner().invoke(app, [*command, "--network", "attention-unet", "--json"])
    assert done.exit_code == 0, done.output
    assert read_card(tmp_path / "gated").net.skip == "attention"
    again = CliRunner().invoke(app, [*command, "--network", "nonsense", "--overwrite"])
    assert again.exit_code != 0
    assert "nested-unet" in again.output


def test_cards_keep_the_choices():
    how = TrainSpec(name="a", network="dense-unet").filled(load_task("cell"))
    card = make_card(how, "none")
    assert (card.net.architecture, card.net.blocks, card.net.dropout) == ("dense", (4,) * 5, 0.2)
