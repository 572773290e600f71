"""A model ready to run gives the same scores however tiles are cut and grouped."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from napari_unet.core.axes import as_image
from napari_unet.core.errors import Cancelled, ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.core.steps import finish, stoppable
from napari_unet.models import devices
from napari_unet.models.devices import on_device
from napari_unet.models.model import Model, bfloat16_is_fast, choose_device
from napari_unet.models.runtimes._scores import rounded_there, sent
from napari_unet.models.runtimes.eager import Eager
from napari_unet.models.segment import segment_image
from napari_unet.nets import _inner, build
from napari_unet.tiling._quantised import quantised

NETS = [
    NetSpec(inputs=3, outputs=4, widths=(16, 32, 64)),
    NetSpec(inputs=1, outputs=4, widths=(8, 16, 24), block="residual", skip="add"),
    NetSpec(ndim=3, inputs=1, outputs=4, widths=(8, 16), convolutions=1),
]


def make(spec=NETS[0], device="cpu", runtime="auto"):
    torch.manual_seed(0)
    network = build(spec)
    network.train()(torch.randn(2, spec.inputs, *(32,) * spec.ndim))
    return Model(
        ModelCard(name="tiny", net=spec, target=TargetSpec(name="distance"), channels=(1, 3)),
        network.eval(),
        device,
        runtime,
    )


def compute_in(model, precision):
    model._engine.precision = precision
    model._engine._inner.to(precision)


def pairs_of_tile_and_whole(model, predict):
    """Yield the inner scores of tiles of many shapes and in batches, and the same pixels of the whole."""
    rng, ndim, step = np.random.default_rng(0), model.card.net.ndim, model.multiple
    halo = -(-model.halo // step) * step
    inner = {2: 112, 3: 24}[ndim] // step * step
    image = rng.normal(0.5, 0.5, (1, model.card.net.inputs, *(inner + 2 * halo,) * ndim)).astype(np.float32)
    whole = model.predict(image)
    for _ in range(6):
        size = [int(n) * step for n in rng.integers(1, inner // step + 1, ndim)]
        start = [int(rng.integers(0, (inner - n) // step + 1)) * step for n in size]
        tile = image[(..., *(slice(a, a + n + 2 * halo) for a, n in zip(start, size, strict=True)))]
        count = int(rng.choice([0, 0, 1, 2, 16])) if tile[0, 0].size < 2**13 else int(rng.integers(0, 3))
        others = rng.normal(size=(count, *tile.shape[1:])).astype(np.float32)
        scores = predict(np.concatenate([others, tile]))[-1:]
        where = (..., *(slice(halo + a, halo + a + n) for a, n in zip(start, size, strict=True)))
        yield scores[(..., *(slice(halo, halo + n) for n in size))], whole[where]


@pytest.mark.parametrize("way", ["predict", "predict_inner"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("spec", NETS, ids=["plain", "residual", "3d"])
def test_tiles_and_batches_are_bit_identical(spec, precision, way):
    model = make(spec)
    assert model.exact
    if precision == torch.bfloat16 != model.precision:
        pytest.skip("this machine has no fast bfloat16")
    compute_in(model, precision)
    for tile, whole in pairs_of_tile_and_whole(model, getattr(model, way)):
        assert tile.tobytes() == whole.tobytes()


@pytest.mark.parametrize("spec", NETS[:2], ids=["plain", "residual"])
def test_bands_are_bit_identical_too(spec, monkeypatch):
    monkeypatch.setattr(_inner, "_BAND", 1500)
    model = make(spec)
    compute_in(model, torch.float32)
    for tile, whole in pairs_of_tile_and_whole(model, model.predict_inner):
        assert tile.tobytes() == whole.tobytes()


def test_odd_widths_are_equal_up_to_rounding():
    model = make(NetSpec(inputs=1, outputs=4, widths=(5, 7, 9)))
    compute_in(model, torch.float32)
    for tile, whole in pairs_of_tile_and_whole(model, model.predict_inner):
        np.testing.assert_allclose(tile, whole, atol=1e-5, rtol=0)


def test_scores_in_the_halo_are_left_out():
    model = make()
    batch = np.random.default_rng(0).normal(size=(2, 3, 64, 72)).astype(np.float32)
    inner, whole, rim = model.predict_inner(batch), model.predict(batch), model.halo
    assert inner.dtype == np.float32
    np.testing.assert_array_equal(inner[..., rim:-rim, rim:-rim], whole[..., rim:-rim, rim:-rim])
    inner[..., rim:-rim, rim:-rim] = 0
    assert not inner.any()
    small = batch[..., : 2 * rim // 4 * 4, :]
    np.testing.assert_array_equal(model.predict_inner(small), model.predict(small))


@pytest.mark.parametrize("spec", NETS, ids=["plain", "residual", "3d"])
@pytest.mark.parametrize("cells", [2, 12])
@pytest.mark.parametrize("count", [1, 3])
def test_stored_scores_are_the_scores_rounded(spec, cells, count):
    model = make(spec)
    shape = [cells * model.multiple + 2 * model.multiple * axis for axis in range(spec.ndim)]
    values = np.random.default_rng(0).integers(0, 2**16, (count, spec.inputs, *shape)).astype(np.uint16)
    tables = np.linspace(-1, 4, spec.inputs * 2**16, dtype=np.float32).reshape(spec.inputs, -1)
    batch = np.stack([[table[part] for table, part in zip(tables, row, strict=True)] for row in values])
    expected = model.predict_inner(batch)
    if all(n > 2 * model.halo for n in shape):
        expected = expected[(..., *(slice(model.halo, -model.halo),) * spec.ndim)]
    expected = quantised(expected)[:, :2]
    for found in (model.predict_stored(batch, 2), model.predict_stored(values, 2, tables)):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    one = model.predict_stored(values[:, :1], 2, tables[:1])
    np.testing.assert_array_equal(one, model.predict_stored(np.repeat(batch[:, :1], spec.inputs, 1), 2))
    few = values[:, :1].astype(np.uint8)
    repeated = np.repeat(tables[0][few], spec.inputs, 1)
    np.testing.assert_array_equal(model.predict_stored(few, 2, tables[:1, :256]), model.predict_stored(repeated, 2))


def test_a_graphics_card_rounds_alike():
    halves = np.arange(-4, 520, dtype=np.float32) / 2 / 255
    odd = np.array([np.nan, np.inf, -np.inf, 1, 1e30], np.float32)
    scores = np.concatenate([halves, np.linspace(-0.1, 1.1, 2**16, dtype=np.float32), odd])
    np.testing.assert_array_equal(rounded_there(torch.from_numpy(scores.copy())).numpy(), quantised(scores))


def test_a_network_gives_up_when_its_result_is_not_wanted():
    model, stop = make(), threading.Event()
    batch = np.zeros((1, 3, 64, 64), np.float32)
    stop.set()
    with pytest.raises(Cancelled):
        stoppable(lambda: model.predict(batch), stop)
    assert model.predict(batch).shape == (1, 4, 64, 64)


def test_a_device_is_fed_by_threads_and_works_in_one(monkeypatch):
    """A stand-in for a graphics card: a processor that torch's work is sent to as if it were one."""
    model, threads = make(NETS[1]), set()
    image = as_image(np.random.default_rng(0).integers(0, 2**16, (300, 200)).astype(np.uint16))
    spec = SegmentSpec(model=model.card.name, diameter=24.0, tiling={"tile": 32, "workers": 3, "batch": 2})
    expected = finish(segment_image(image, spec, model))
    launch = Eager._launch

    def noted(self, *given):
        threads.add(threading.current_thread().name)
        return launch(self, *given)

    monkeypatch.setattr(Eager, "_launch", noted)
    monkeypatch.setattr("napari_unet.models.runtimes.eager.sent", lambda batch, device="": sent(batch))
    # Scores are then rounded by torch, values are looked up in tables, and two more threads feed it.
    model._engine.exact, model._engine.device, model.device = False, "cuda:7", "cuda:7"
    found = finish(segment_image(image, spec, model))
    assert found.objects == expected.objects > 0
    assert found.manifest["labels_hash"] == expected.manifest["labels_hash"]
    assert len(threads) == 1
    assert "cuda:7" in threads.pop()


def test_threads_do_not_matter_and_are_left_as_they_were():
    model, results = make(), []
    batch = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(model.predict(batch))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    workers = [threading.Thread(target=lambda: results.append(model.predict(batch))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 7
    assert len({r.tobytes() for r in results}) == 1


def test_scores_lie_between_0_and_1_and_the_batch_is_left_alone():
    model = make()
    batch = 100 * np.random.default_rng(0).normal(size=(1, 3, 16, 24)).astype(np.float32)
    copy = batch.copy()
    scores = model.predict(batch[..., ::-1])
    assert (scores.dtype, scores.shape) == (np.float32, (1, 4, 16, 24))
    assert 0 <= scores.min() <= scores.max() <= 1
    np.testing.assert_array_equal(batch, copy)
    assert (model.outputs, model.halo, model.multiple) == (3, 25, 4)


def test_other_channels_are_refused():
    with pytest.raises(ModelError, match=r"'tiny' takes 3 channels but was given 2"):
        make().predict(np.zeros((1, 2, 16, 16), np.float32))


def test_precision_is_the_fastest_that_the_device_has(monkeypatch):
    assert isinstance(bfloat16_is_fast("cpu"), bool)
    assert not bfloat16_is_fast("mps")
    monkeypatch.setattr(devices, "bfloat16_is_fast", lambda device: False)
    assert make().precision == torch.float32
    for capability, precision in (((6, 1), torch.float32), ((7, 5), torch.float16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert devices.fast_precision("cuda") == precision
    monkeypatch.setattr(devices, "bfloat16_is_fast", lambda device: True)
    assert devices.fast_precision("cuda") == torch.bfloat16


def test_a_graphics_card_has_one_thread():
    found = []
    callers = [
        threading.Thread(target=lambda name=name: found.append(on_device(name, threading.get_ident)))
        for name in ("cuda", "cuda:0", "cuda")
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert found[0] != threading.get_ident()
    assert on_device("cpu", threading.get_ident) == threading.get_ident()


def test_too_little_memory_on_a_card_says_what_to_do():
    def work():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match=r"'cuda' has too little memory .* smaller tile"):
        on_device("cuda", work)


@pytest.mark.parametrize("wanted", ["tpu", "", "cpu:1", "cpu:", "cuda:99", "cuda:x", "cuda:-1", "CUDA", "cpu cuda"])
def test_devices_that_are_not_there(wanted):
    with pytest.raises(ModelError, match=r"Choose one of: auto, cpu"):
        choose_device(wanted)


def test_devices_that_are_there(monkeypatch):
    assert choose_device("cpu") == "cpu"
    assert choose_device("cpu:0") == "cpu"
    assert choose_device() in ("cpu", "cuda", "mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(ModelError, match="cuda:2"):
        choose_device("cuda:2")


@pytest.mark.gpu
@pytest.mark.parametrize("spec", NETS, ids=["plain", "residual", "3d"])
def test_tiles_are_equal_on_the_graphics_card(spec):
    model = make(spec, "auto")
    assert model.device in ("cuda", "mps")
    assert not model.exact
    compute_in(model, torch.float32)
    for tile, whole in pairs_of_tile_and_whole(model, model.predict_inner):
        np.testing.assert_allclose(tile, whole, atol=2e-3, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("runtime", ["torch", "torch-compile"])
def test_the_graphics_card_says_the_same(runtime):
    if runtime == "torch-compile" and choose_device() != "cuda":
        pytest.skip("torch compiles for CUDA")
    model, cpu = make(device="auto", runtime=runtime), make()
    batch = np.random.default_rng(0).normal(0.5, 0.5, (2, 3, 96, 128)).astype(np.float32)
    compute_in(cpu, torch.float32)
    expected, results = cpu.predict_inner(batch), []
    workers = [threading.Thread(target=lambda: results.append(model.predict_inner(batch))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for scores in results:
        np.testing.assert_allclose(scores, expected, atol=0.03, rtol=0)
