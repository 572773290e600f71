"""Presets of networks, and what a network may be made of."""

from __future__ import annotations

import pytest

from napari_unet.core.errors import RegistryError, SpecError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec, list_networks, load_network, read_preset
from napari_unet.core.registry import names
from napari_unet.core.specs import TargetSpec, TrainSpec, load_task


def test_the_family_is_there():
    found = {preset.name for preset in list_networks()}
    assert found == set(names("networks", ".toml"))
    assert {
        "unet", "unet-2015", "unet-3d", "attention-unet", "dense-unet", "residual-unet", "nested-unet", "light-unet",
    } <= found  # fmt: skip


@pytest.mark.parametrize("name", names("networks", ".toml"))
@pytest.mark.parametrize("ndim", [2, 3])
def test_presets(name, ndim):
    preset = read_preset(name)
    assert preset.title
    assert preset.description.endswith(".")
    assert preset.citation
    assert preset.doi.startswith("10.")
    spec = load_network(name, ndim, 3, 4)
    assert (spec.ndim, spec.inputs, spec.outputs) == (ndim, 3, 4)
    assert load_network(name, ndim, 3, 4, dropout=0.25).dropout == 0.25
    assert spec == preset.spec(ndim, 3, 4)


def test_the_default_preset_is_the_default():
    assert load_network("unet", 2) == NetSpec()


def test_what_is_no_setting_is_refused():
    with pytest.raises(RegistryError, match="attention-unet"):
        load_network("attention")
    with pytest.raises(SpecError, match="skipp"):
        load_network("unet", skipp="add")
    with pytest.raises(SpecError, match="dropout"):
        load_network("unet", dropout=1.0)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"strides": ((2, 2),)}, "strides needs 2 entries for 3 levels, not 1"),
        ({"kernels": ((3, 3),) * 4}, "kernels needs 3 entries"),
        ({"blocks": (1, 2)}, "blocks needs 3 entries"),
        ({"strides": ((1, 2, 2),) * 2}, "2 numbers an entry"),
        ({"kernels": ((3, 4),) * 3}, "odd"),
        ({"prune": 3}, "cannot be pruned to depth 3"),
    ],
)
def test_levels_must_agree(choice, text):
    with pytest.raises(SpecError, match=text):
        NetSpec.of(widths=(2, 3, 4), **choice)


def test_cards_of_earlier_versions_mean_the_same():
    old = {
        "architecture": "unet", "ndim": 2, "inputs": 3, "outputs": 4, "widths": [16, 32, 64, 192],
        "block": "plain", "skip": "concat", "convolutions": 2,
    }  # fmt: skip
    assert NetSpec.of(**old) == NetSpec(inputs=3, outputs=4, widths=(16, 32, 64, 192))


def test_training_takes_the_preset():
    task = load_task("cell")
    plain = TrainSpec().filled(task)
    assert plain.net == task.net
    chosen = TrainSpec(network="attention-unet").filled(task)
    assert chosen.net == load_network("attention-unet", 2, task.net.inputs, task.net.outputs)
    # Filled twice, from a model and then from its task, it stays as it is.
    assert chosen.filled(task) == chosen
    assert TrainSpec(network="unet-3d").filled(task).net.ndim == 3
    own = NetSpec(widths=(4, 8))
    assert TrainSpec(network="unet-3d", net=own).filled(task).net == own
    with pytest.raises(RegistryError, match="Choose one of"):
        TrainSpec(network="nonsense").filled(task)


def test_starting_from_a_model_the_preset_takes_its_channels():
    card = ModelCard(name="a", net=NetSpec(inputs=2, outputs=3), target=TargetSpec(name="border"))
    spec = TrainSpec(network="dense-unet").filled(card)
    assert (spec.net.architecture, spec.net.inputs, spec.net.outputs) == ("dense", 2, 3)
    assert spec.target == card.target
