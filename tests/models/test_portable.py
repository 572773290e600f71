"""Networks as files for other programs: the same scores as here, for any number of images of any size."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.core.errors import MissingExtraError, ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec, load_network
from napari_unet.core.specs import TargetSpec
from napari_unet.models._runners import onnx_session, run_onnx, run_torch, take_onnx
from napari_unet.models._torchscript import open_script, read_state, write_script
from napari_unet.models.cards import read_card
from napari_unet.models.portable import Scores, read_scores, write_onnx, write_torchscript
from napari_unet.nets import build


def volume():
    """A 3D network with its scores."""
    torch.manual_seed(0)
    net = NetSpec(ndim=3, inputs=2, outputs=3, widths=(2, 3), convolutions=1)
    return Scores(ModelCard(name="volume", net=net, target=TargetSpec(name="heat")), build(net))


def check(scores, run, *shapes):
    rng = np.random.default_rng(0)
    for shape in shapes:
        image = rng.normal(0.5, 0.5, shape).astype(np.float32)
        with torch.inference_mode():
            wanted = scores(torch.from_numpy(image)).numpy()
        (found,) = run(image)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.fixture(scope="module")
def onnx_file(bright, tmp_path_factory):
    """The bright model as ONNX; written once, because that takes seconds."""
    file = tmp_path_factory.mktemp("onnx") / "bright.onnx"
    assert write_onnx(file, read_scores(bright, read_card(bright))) >= 18
    return file


def test_onnx_gives_the_same_scores_for_any_batch_and_size(onnx_file, bright):
    session = onnx_session(onnx_file)
    scores = read_scores(bright, read_card(bright))
    check(scores, lambda x: run_onnx(session, x, "a"), (1, 3, 32, 48), (3, 3, 64, 16), (2, 3, 2, 2), (5, 3, 10, 130))


def test_onnx_keeps_the_card_and_says_nothing_of_this_computer(onnx_file, bright):
    inside = onnx_session(onnx_file).get_modelmeta().custom_metadata_map["napari-unet-card.json"]
    assert ModelCard.model_validate_json(inside) == read_card(bright)
    assert str(Path(__file__).parents[2]).encode() not in onnx_file.read_bytes()
    assert b"site-packages" not in onnx_file.read_bytes()


@pytest.mark.parametrize("ndim", [2, 3])
def test_torchscript_gives_the_same_scores(bright, tmp_path, ndim):
    scores = read_scores(bright, read_card(bright)) if ndim == 2 else volume()
    write_torchscript(tmp_path / "a.pt", scores)
    module, inside = open_script(tmp_path / "a.pt")
    shapes = [(1, 3, 32, 48), (4, 3, 10, 6)] if ndim == 2 else [(1, 2, 4, 8, 6), (2, 2, 12, 2, 2)]
    check(scores, lambda x: run_torch(module, x, "cpu", "a"), *shapes)
    assert ModelCard.model_validate_json(inside) == scores.card
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert not any(str(Path(__file__).parents[2]).encode() in archive.read(name) for name in archive.namelist())


MEMBERS = {
    "gates": ("attention-unet", 2, {}),
    "dense volumes": ("dense-unet", 3, {"growth": 2, "blocks": (1, 1, 1)}),
    "nodes, heads and pruning": ("nested-unet", 2, {"heads": (2, 1), "prune": 1, "dropout": 0.2}),
}


@pytest.mark.parametrize("member", MEMBERS)
def test_members_of_the_family_as_files(tmp_path, member):
    """Random images of any number and size on the grid: onnxruntime and TorchScript say what torch says."""
    name, ndim, more = MEMBERS[member]
    net = load_network(name, ndim, 2, 3, widths=(2, 3, 4), **more)
    torch.manual_seed(0)
    scores = Scores(ModelCard(name="member", net=net, target=TargetSpec(name="heat")), build(net))
    write_onnx(tmp_path / "a.onnx", scores)
    write_torchscript(tmp_path / "a.pt", scores)
    session, (module, _) = onnx_session(tmp_path / "a.onnx"), open_script(tmp_path / "a.pt")
    shapes = [(1, 2, *(2 * s for s in scores.steps)), (3, 2, *((5 - i) * s for i, s in enumerate(scores.steps)))]
    check(scores, lambda x: run_onnx(session, x, "a"), *shapes)
    check(scores, lambda x: run_torch(module, x, "cpu", "a"), *shapes)


def test_the_same_answer_again_and_from_the_first(bright, tmp_path):
    write_torchscript(tmp_path / "a.pt", read_scores(bright, read_card(bright)))
    module, _ = open_script(tmp_path / "a.pt")
    image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    threads = torch.get_num_threads()
    assert len({run_torch(module, image, "cpu", "a")[0].tobytes() for _ in range(5)}) == 1
    assert torch.get_num_threads() == threads


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle", "state"])
def test_a_pickle_is_not_opened(tmp_path, form):
    file, trap = tmp_path / "model.pt", tmp_path / "trapped"
    value = {"weight": torch.zeros(1), "trap": Trap(trap)} if form == "state" else Trap(trap)
    if form == "pickle":
        file.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, file, _use_new_zipfile_serialization=form != "old torch")
    for read in (open_script, read_state):
        with pytest.raises(ModelError, match=r"'model\.pt' holds more than weights: .* so it is not opened"):
            read(file)
    assert not trap.exists()
    pickle.loads(file.read_bytes()) if form == "pickle" else torch.load(file, weights_only=False)
    assert trap.exists(), "the trap works"


def test_weights_alone_are_read_but_are_no_network(tmp_path):
    file = tmp_path / "model.pth"
    for value in (
        {"a": torch.ones(2)},
        {"epoch": 3, "state_dict": {"a": torch.ones(2)}},
        {"model": {"a": torch.ones(2)}},
    ):
        torch.save(value, file)
        assert list(read_state(file)) == ["a"]
        with pytest.raises(ModelError, match="holds weights but no network"):
            open_script(file)
    for value in ([1], {"a": 1}, "text"):
        torch.save(value, file)
        with pytest.raises(ModelError, match="no list of weights"):
            read_state(file)
    for damaged in (b"", b"PK\3\4", b"text"):
        file.write_bytes(damaged)
        with pytest.raises(ModelError):
            read_state(file)
        with pytest.raises(ModelError):
            open_script(file)


class Writes(nn.Module):
    """Leaves a file behind when it runs."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.file)
        return x


class Reads(nn.Module):
    """Reads a file when it runs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", False, 1)


@pytest.mark.parametrize(("kind", "word"), [(Writes, "save"), (Reads, "from_file")])
def test_torchscript_that_reaches_the_disk_is_not_opened(tmp_path, kind, word):
    trap, file = tmp_path / "trapped", tmp_path / "evil.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.script(Writes(str(trap)) if kind is Writes else Reads())
        torch.jit.save(module, file)
        if kind is Writes:
            torch.jit.load(file)(torch.ones(1))
            assert trap.exists(), "the trap works"
            trap.unlink()
    with pytest.raises(ModelError, match=f"its program uses '{word}'"):
        open_script(file)
    assert not trap.exists()


def test_damaged_torchscript(tmp_path, blur_script):
    data = blur_script(tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[:-200])
    with pytest.raises(ModelError):
        open_script(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as out:
        out.writestr("a/code/a.py", "def forward(self): pass")
        out.writestr("a/data.pkl", b"")
    with pytest.raises(ModelError, match="no TorchScript that this torch can open"):
        open_script(tmp_path / "b.pt")


def test_networks_that_fail_say_so(tmp_path):
    class Fussy(nn.Module):
        def forward(self, x):
            return x.reshape(1, 1, 7, 7)

    write_script(tmp_path / "a.pt", Fussy().eval(), torch.zeros(1, 1, 7, 7))
    module, _ = open_script(tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"'mine' failed on an array of shape \(1, 1, 4, 4\)"):
        run_torch(module, np.zeros((1, 1, 4, 4), np.float32), "cpu", "mine")
    with pytest.raises(ModelError, match="something else than arrays"):
        run_torch(lambda x: ["text"], np.zeros((1, 1, 4, 4), np.float32), "cpu", "mine")
    one, two = run_torch(lambda x: {"a": x, "b": x > 0}, np.ones((1, 1), np.float32), "cpu", "mine")
    assert (one.dtype, two.tolist()) == (np.float32, [[1.0]])


def test_damaged_onnx(tmp_path, blur_onnx):
    file = blur_onnx(tmp_path / "a.onnx")
    session = onnx_session(file)
    with pytest.raises(ModelError, match=r"'mine' failed on an array of shape \(1, 2, 4, 4\)"):
        run_onnx(session, np.zeros((1, 2, 4, 4), np.float32), "mine")
    file.write_bytes(b"\x08text")
    for read in (onnx_session, lambda file: take_onnx(file, tmp_path / "b.onnx")):
        with pytest.raises(ModelError, match=r"'a\.onnx' is no ONNX network"):
            read(file)


def test_onnx_whose_weights_lie_elsewhere(tmp_path, blur_onnx):
    import onnx

    (tmp_path / "secret").write_bytes(bytes(72))
    (tmp_path / "in").mkdir()
    file = blur_onnx(tmp_path / "in" / "a.onnx")
    model = onnx.load(file)
    weight = model.graph.initializer[0]
    raw = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "weights.data"), ("offset", "0"), ("length", str(len(raw)))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"keeps its weights in 'weights\.data', which is missing"):
        onnx_session(file)
    (tmp_path / "in" / "weights.data").write_bytes(raw)
    take_onnx(file, tmp_path / "one.onnx")
    image = np.random.default_rng(0).random((1, 1, 8, 8), dtype=np.float32)
    for each in (file, tmp_path / "one.onnx"):
        assert run_onnx(onnx_session(each), image, "a")[0].any()
    (tmp_path / "in" / "weights.data").unlink()
    assert run_onnx(onnx_session(tmp_path / "one.onnx"), image, "a")[0].any()
    for place in ("../secret", str(tmp_path / "secret"), "..\\secret", ".hidden"):
        weight.external_data[0].value = place
        file.write_bytes(model.SerializeToString())
        for read in (onnx_session, lambda file: take_onnx(file, tmp_path / "two.onnx")):
            with pytest.raises(ModelError, match="which is not in its folder"):
                read(file)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    weight.external_data[0].value = "link"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="which is not in its folder"):
        onnx_session(file)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_named(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    importlib.invalidate_caches()
    wanted = (lambda file: write_onnx(file, volume())) if package != "onnxruntime" else onnx_session
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*napari-unet-suite\[onnx\]"):
        wanted(tmp_path / "a.onnx")


def test_what_onnx_does_not_know_is_said(tmp_path, monkeypatch):
    def fail(*args, **more):
        raise torch.onnx.OnnxExporterError("No operator for aten::wizardry.")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ModelError, match=r"'volume' could not be written as ONNX: No operator .* as torchscript"):
        write_onnx(tmp_path / "a.onnx", volume())
    assert not (tmp_path / "a.onnx").exists()
