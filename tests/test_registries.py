"""Whatever is in a registry keeps its room's contract: a new file is tested by being there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from napari_unet.core.axes import as_image
from napari_unet.core.errors import RegistryError
from napari_unet.core.registry import load, names
from napari_unet.core.specs import NetSpec, TargetSpec, load_task
from napari_unet.nets import build, halo, multiple
from napari_unet.targets import count_classes, target
from napari_unet.tiling.grid import per_axis

ROOMS = ("targets", "nets", "measures", "metrics")


def labels(ndim=2):
    shape = (6, 24, 30)[-ndim:]
    out = np.zeros(shape, np.int32)
    out[..., 2:12, 2:12], out[..., 12:22, 12:26] = 3, 7
    return out


def ranks(name):
    """Return the numbers of dimensions that a target knows, by its channels' names."""
    return (2,) if any(c.endswith(("_y", "_x")) for c in target(name).CHANNELS) else (2, 3)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_not_empty_and_say_what_they_have(room):
    assert names(room)
    with pytest.raises(RegistryError, match=names(room)[0]):
        load(room, "nonsense")


@pytest.mark.parametrize(("room", "name"), [(room, name) for room in ROOMS for name in names(room)])
def test_entries_are_documented(room, name):
    module = load(room, name)
    assert module.__doc__
    assert module.__all__ == sorted(module.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    for each in module.__all__:
        value = getattr(module, each)
        assert not callable(value) or inspect.getdoc(value)


@pytest.mark.parametrize(("name", "ndim"), [(name, ndim) for name in names("targets") for ndim in ranks(name)])
def test_targets(name, ndim):
    module, truth = target(name), labels(ndim)
    channels = len(module.CHANNELS)
    assert module.CHANNELS[0] == ("background" if count_classes(name) else "foreground")
    assert len(set(module.CHANNELS)) == channels
    encoded = module.encode(truth)
    assert encoded.dtype == np.float32
    assert encoded.shape[1:] == truth.shape
    assert len(encoded) >= channels
    assert 0 <= encoded.min() <= encoded.max() <= 1
    if count_classes(name):
        truth = (truth == 3).astype(np.int32)  # its one class; what is no class is nothing
    else:
        np.testing.assert_array_equal(encoded[0] > 0.5, truth > 0)
    scores = torch.randn(2, channels, *truth.shape, requires_grad=True)
    activated = module.activate(scores.detach())
    assert activated.shape == scores.shape
    assert 0 <= float(activated.min()) <= float(activated.max()) <= 1
    loss = module.loss(scores, torch.from_numpy(np.stack([encoded] * 2)))
    assert loss.shape == ()
    loss.backward()
    assert float(scores.grad.abs().sum()) > 0
    stored = np.rint(encoded[:channels] * 255).astype(np.uint8)
    found = module.decode(stored, TargetSpec(name=name), 0)
    assert found.dtype == np.int32
    assert found.shape == truth.shape
    if not count_classes(name):
        assert sorted(np.unique(found)) == [0, 1, 2]
    np.testing.assert_array_equal(stored, np.rint(encoded[:channels] * 255).astype(np.uint8))


@pytest.mark.parametrize("name", names("nets"))
@pytest.mark.parametrize("ndim", [2, 3])
def test_nets(name, ndim):
    spec = NetSpec(architecture=name, ndim=ndim, inputs=2, outputs=3, widths=(2, 3))
    step = multiple(spec)
    assert step >= 1
    assert halo(spec) >= 1
    with torch.inference_mode():
        assert build(spec).eval()(torch.zeros(1, 2, *(2 * step,) * ndim)).shape == (1, 3, *(2 * step,) * ndim)


def looks_at_the_tile(spec, build):
    """Say whether a score changes when the image is cut beyond its halo."""
    torch.manual_seed(0)
    network, steps, rims = build(spec), *(per_axis(of(spec), spec.ndim) for of in (multiple, halo))
    margins = [-(-rim // step) * step for rim, step in zip(rims, steps, strict=True)]
    image = torch.randn(1, 2, *(2 * m + 3 * s for m, s in zip(margins, steps, strict=True)))
    network.train()(image)  # statistics of their own
    network, image = network.double().eval(), image.double()
    with torch.inference_mode():
        whole, tile = network(image), network(image[(..., *(slice(step, None) for step in steps))])
    inner = [slice(m, m + s) for m, s in zip(margins, steps, strict=True)]
    same = [slice(m + s, m + 2 * s) for m, s in zip(margins, steps, strict=True)]
    return not torch.allclose(tile[(..., *inner)], whole[(..., *same)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", names("nets"))
@pytest.mark.parametrize("ndim", [2, 3])
def test_nets_do_not_look_at_the_tile(name, ndim):
    assert not looks_at_the_tile(NetSpec(architecture=name, ndim=ndim, inputs=2, outputs=3, widths=(2, 3)), build)


def test_a_net_that_looks_at_the_tile_is_noticed():
    def normalized(spec):
        return torch.nn.Sequential(torch.nn.InstanceNorm2d(2), build(spec))

    spec = NetSpec(inputs=2, outputs=3, widths=(2, 3))
    assert looks_at_the_tile(spec, normalized)
    assert not looks_at_the_tile(spec, build)


@pytest.mark.parametrize("name", names("measures"))
@pytest.mark.parametrize("ndim", [2, 3])
def test_measures(name, ndim):
    module, truth = load("measures", name), labels(ndim)
    pixels = np.random.default_rng(0).random(truth.shape)
    axes = "zyx"[3 - ndim :]
    for image in (None, as_image(pixels, axes)):
        table = module.measure(as_image(truth, axes), image)
        assert next(iter(table)) == "index"
        assert table["index"].tolist() == [3, 7]
        assert all(len(column) == 2 for column in table.values())
    empty = module.measure(as_image(truth * 0, axes))
    assert all(len(column) == 0 for column in empty.values())


@pytest.mark.parametrize("name", names("metrics"))
def test_metrics(name):
    module, truth = load("metrics", name), labels()
    perfect, nothing = module.count(truth, truth), module.count(truth, truth * 0)
    best, worst, both = (module.scores(c) for c in (perfect, nothing, perfect + nothing))
    assert best.keys() == worst.keys() == both.keys()
    assert all(type(value) is float and isinstance(key, str) for key, value in best.items())
    assert best != worst
    assert module.scores(nothing + perfect) == both


@pytest.mark.parametrize("name", names("tasks", ".toml"))
def test_tasks(name):
    task = load_task(name)
    assert task.net.architecture in names("nets")
    assert task.target.name in names("targets")
    assert task.net.ndim in ranks(task.target.name)
    assert set(task.measures) <= set(names("measures"))
    assert set(task.metrics) <= set(names("metrics"))
    assert task.diameter > 4
    assert halo(task.net) < 256
