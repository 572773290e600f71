"""Runtimes: which there are, what they promise, and how well they agree with float32."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_unet.core.axes import as_image
from napari_unet.core.errors import MissingExtraError, ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.runtimes import RUNTIMES
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.core.steps import finish
from napari_unet.models import report, zoo
from napari_unet.models._scorer import agreement_of
from napari_unet.models.model import Model
from napari_unet.models.runtimes import _agreement, _int8, _simulated, choose_runtime, vino
from napari_unet.models.runtimes import eager as eager_runtime
from napari_unet.models.segment import segment_image
from napari_unet.models.store import write_model
from napari_unet.nets import build

NETS = {
    "plain": NetSpec(inputs=3, outputs=4, widths=(8, 16, 16)),
    "residual": NetSpec(inputs=1, outputs=4, widths=(8, 16), block="residual", skip="add"),
    "attention": NetSpec(inputs=1, outputs=4, widths=(8, 8, 8), skip="attention", convolutions=1),
    "3d": NetSpec(ndim=3, inputs=1, outputs=4, widths=(8, 8), convolutions=1),
}
VINO = ("openvino", "openvino-int8")
with_openvino = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed")


def make(spec=NETS["plain"], runtime="torch"):
    torch.manual_seed(0)
    network = build(spec)
    network.train()(torch.randn(2, spec.inputs, *(32 if spec.ndim == 2 else 16,) * spec.ndim))
    card = ModelCard(name="tiny", net=spec, target=TargetSpec(name="distance"), diameter=12.0)
    return Model(card, network.eval(), "cpu", runtime)


def tile(model, cells=3, count=1):
    spec, step = model.card.net, model.multiple
    rng = np.random.default_rng(0)
    size = (2 * model.halo // step + 1 + cells) * step
    return rng.normal(0.5, 0.5, (count, spec.inputs, *(size,) * spec.ndim)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def few_small_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vino, "_LEARN_FROM", {2: 3, 3: 1})
        patch.setattr(vino, "_COMPARE_ON", {2: 1, 3: 1})
        patch.setattr(_simulated, "_INSIDE", {2: 64, 3: 16})
        yield


@pytest.fixture(scope="module", params=[(name, runtime) for name in NETS for runtime in VINO], ids=" ".join)
def both(request):
    """The same network in float32 and by OpenVINO."""
    name, runtime = request.param
    exact = make(NETS[name])
    exact._engine.precision = torch.float32
    exact._engine._inner.float()
    return exact, make(NETS[name], runtime)


@with_openvino
def test_scores_are_those_of_float32(both):
    exact, model = both
    batch = tile(exact, count=2)
    expected, found = exact.predict_inner(batch), model.predict_inner(batch)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    apart = np.abs(found - expected)
    assert apart.mean() < (0.003 if model.runtime == "openvino" else 0.02)
    # In fewer bits it cannot be the same; in float32 it may be.
    assert model.precision == "float32" or apart.any()
    assert np.quantile(apart, 0.99) < (0.02 if model.runtime == "openvino" else 0.1)
    assert model.agreement["foreground"] > 0.98
    assert model.agreement["difference"] < 0.02
    assert (model.runtime, model.device) == (model.runtime, "cpu")
    assert model.precision == ("int8" if model.runtime.endswith("int8") else model.precision)


@with_openvino
def test_tiles_and_batches_are_bit_identical(both):
    _, model = both
    assert model.exact
    image, rng, step = tile(model, cells=6), np.random.default_rng(1), model.multiple
    whole, spec, rim = model.predict(image), model.card.net, model.halo
    least = (2 * rim // step + 1) * step
    for others in (0, 0, 1, 5):
        size = [least + step * int(rng.integers(0, 5)) for _ in range(spec.ndim)]
        start = [step * int(rng.integers(0, (image.shape[2] - n) // step + 1)) for n in size]
        part = image[(..., *(slice(a, a + n) for a, n in zip(start, size, strict=True)))]
        batch = np.concatenate([rng.normal(size=(others, *part.shape[1:])).astype(np.float32), part])
        for scores in (model.predict_inner(batch), model.predict(batch)):
            inside = scores[(-1, slice(None), *(slice(rim, n - rim) for n in size))]
            same = whole[(0, slice(None), *(slice(a + rim, a + n - rim) for a, n in zip(start, size, strict=True)))]
            assert inside.size
            assert inside.tobytes() == same.tobytes()


@with_openvino
def test_threads_do_not_share_what_they_compute_in(both):
    _, model = both
    batches = [tile(model) + np.float32(shift) for shift in (0.0, 0.1, 0.2)]
    expected, found = [model.predict_inner(batch) for batch in batches], {}
    workers = [
        threading.Thread(target=lambda i=i: found.update({i: model.predict_inner(batches[i % 3])})) for i in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == list(range(6))
    for i, scores in found.items():
        np.testing.assert_array_equal(scores, expected[i % 3])


@with_openvino
def test_8_bits_are_used_where_they_do_no_harm():
    openvino, model = vino.import_openvino(), make(runtime="openvino-int8")
    stepped = [node for node in model._engine._model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    convolutions = [node for node in model._engine._model.get_ordered_ops() if "Convolution" in node.get_type_name()]
    weights = [node.input_value(1).get_node() for node in convolutions]
    assert [node.get_type_name() == "FakeQuantize" for node in weights] == [False] + [True] * 11 + [False]
    assert len(stepped) > 11
    again = make(runtime="openvino-int8")
    batch = tile(model)
    assert model.predict(batch).tobytes() == again.predict(batch).tobytes()
    assert openvino is vino.import_openvino()
    assert sys.modules.get("openvino_telemetry") is None


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.7), (-1.3, 2.2), (-0.001, 900.0), (-5.0, 0.0), (0.0, 0.0)])
def test_steps_cover_what_was_seen_and_0(low, high):
    least, most = map(float, _int8._grid(low, high))
    step = (most - least) / 255
    assert least <= low <= high <= most + 1e-6 * step
    assert round(-least / step) * step == pytest.approx(-least)
    assert most - least <= 1.02 * (high - low) + (high == low) * 256
    # Another processor's last bits lead to the same steps.
    assert tuple(map(float, _int8._grid(low * (1 + 1e-7), high * (1 + 1e-7)))) == (least, most)


def test_pictures_are_varied_and_always_the_same():
    card = make().card
    first, again = (list(_simulated.pictures(card, (9, 9), 3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.shape == (1, 3, 84, 84)
        np.testing.assert_array_equal(one, other)
        assert -1 <= one.min() <= 0
        assert 0.9 <= one.max() <= 4
    assert np.median(first[0]) < 0.5 < np.median(first[2])
    assert np.ptp(first[1].mean((0, 2, 3))) > 0.01 > np.ptp(first[0].mean((0, 2, 3)))


@with_openvino
def test_a_network_that_8_bits_are_too_few_for_is_refused(monkeypatch):
    monkeypatch.setattr(vino, "_LEAST", 1.01)
    with pytest.raises(ModelError, match=r"'openvino-int8', 'tiny' says the same as in float32 for only .*'torch'"):
        make(runtime="openvino-int8")


def test_agreement_counts_pixels_and_means_differences():
    picture = np.zeros((1, 1, 10, 10), np.float32)
    ours, exact = np.zeros((1, 2, 10, 10), np.float32), np.zeros((1, 2, 10, 10), np.float32)
    ours[0, 0, 0], exact[0, 0, 0, :5] = 0.75, 0.75
    assert _agreement.agreement(lambda x: ours, lambda x: exact, [picture]) == {
        "foreground": 0.95,
        "difference": 0.01875,
    }


def test_scores_that_depend_on_the_tile_are_noticed():
    def inside(batch):
        return batch[:, :, 4:-4, 4:-4]

    assert _agreement.is_exact(inside, 2, (4, 4), (8, 8))
    assert not _agreement.is_exact(lambda batch: inside(batch) + batch.mean(dtype=np.float32), 2, (4, 4), (8, 8))
    assert not _agreement.is_exact(lambda batch: inside(batch) * np.float32(len(batch)), 2, (4, 4), (8, 8))


def test_openvino_that_is_not_installed(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    before = sys.modules.get("openvino_telemetry", "absent")

    def missing(name):
        assert sys.modules["openvino_telemetry"] is None
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install .napari-unet-suite\[openvino\]"):
        vino.import_openvino()
    assert sys.modules.get("openvino_telemetry", "absent") == before


def test_choices():
    assert choose_runtime("auto", "cpu") == choose_runtime("torch", "cpu") == ("torch", "cpu")
    assert choose_runtime("openvino") == choose_runtime("openvino", "cpu") == ("openvino", "cpu")
    with pytest.raises(ModelError, match=r"'tensorrt' is unknown. Choose one of: auto, torch, torch-compile, openvino"):
        choose_runtime("tensorrt")
    with pytest.raises(ModelError, match="on the processor, not on 'cuda'"):
        choose_runtime("openvino-int8", "cuda")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_torch_s_compiler_is_a_choice_of_the_user(monkeypatch, precision):
    monkeypatch.setattr(eager_runtime, "fast_precision", lambda device: precision)
    calls = []

    def compile(work, dynamic):
        def compiled(*arguments):
            calls.append(dynamic)
            return work(*arguments)

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    model, eager = make(runtime="torch-compile"), make()
    assert (model.runtime, model.exact, model.agreement) == ("torch-compile", False, None)
    assert (eager.runtime, eager.exact, eager.agreement) == ("torch", True, None)
    batch = tile(model)
    # What is not promised to be exact is not computed in the way that keeps it so.
    np.testing.assert_allclose(model.predict_inner(batch), eager.predict_inner(batch), atol=1e-6)
    assert model.precision == precision
    # Once when it is tried out, then once for the tile.
    assert calls == [True, True]


def test_a_compiler_that_does_not_work(monkeypatch):
    def compile(work, dynamic):
        def compiled(*arguments):
            raise RuntimeError("no C++ compiler\nand a long story")

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.raises(
        ModelError, match=r"does not work here: no C\+\+ compiler It needs .* Choose the runtime 'torch'"
    ):
        make(runtime="torch-compile")


def test_models_are_loaded_once_for_each_runtime(tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    write_model(folder, make().card, build(NETS["plain"]))
    model = zoo.load_model(str(folder), "cpu")
    assert zoo.load_model(str(folder), "cpu", "torch") is model
    monkeypatch.setattr(torch, "compile", lambda work, dynamic: work)
    other = zoo.load_model(str(folder), "cpu", "torch-compile")
    assert other is not model
    assert zoo.load_model(str(folder), "cpu", "torch-compile") is other
    write_model(folder, model.card.model_copy(update={"title": "new"}), build(NETS["plain"]))
    assert zoo.load_model(str(folder), "cpu").card.title == "new"
    with pytest.raises(ModelError, match="unknown"):
        zoo.load_model(str(folder), "cpu", "fast")


def test_foreign_models_bring_their_own_runtime(tmp_path, monkeypatch):
    card, opened = SimpleNamespace(name="guest", foreign=object(), net=SimpleNamespace(ndim=2)), []
    monkeypatch.setattr(zoo, "read_card", lambda folder: card)
    monkeypatch.setattr(zoo, "open_foreign", lambda *arguments: opened.append(arguments) or "guest")
    assert zoo.load_model(str(tmp_path)) == "guest"
    assert zoo.load_model(str(tmp_path), runtime="torch") == "guest"
    assert opened == [(tmp_path, card, "cpu")]
    with pytest.raises(ModelError, match="brings its own runtime"):
        zoo.load_model(str(tmp_path), runtime="openvino")


def test_the_report_lists_runtimes_at_hand(monkeypatch):
    monkeypatch.setattr(report, "_version", lambda package: "1.0")
    assert report.report()["runtimes"] == list(RUNTIMES)
    monkeypatch.setattr(report, "_version", lambda package: "not installed")
    assert report.report()["runtimes"] == ["torch", "torch-compile"]
    assert report.report()["packages"]["openvino"] == "not installed"


@with_openvino
def test_a_run_tells_the_agreement():
    image = as_image(_simulated.nuclei((96, 96), 20, 12.0, seed=0)[0])
    spec = SegmentSpec(diameter=12.0)
    found = finish(segment_image(image, spec, make(runtime="openvino-int8")))
    assert 0 < found.manifest["agreement_percent"] <= 100
    assert found.agreement.startswith(f"{found.manifest['agreement_percent']:.2f} %")
    plain = finish(segment_image(image, spec, make()))
    assert "agreement_percent" not in plain.manifest
    assert plain.agreement == ""


def test_of_several_the_worst_agreement_is_told():
    members = tuple((SimpleNamespace(agreement={"foreground": share}), None) for share in (0.999, 0.99))
    assert agreement_of(SimpleNamespace(members=members)) == {"agreement_percent": 99.0}
