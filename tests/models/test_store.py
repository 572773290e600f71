"""Model folders: whole or not at all, and every damage in words."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from napari_unet.core.errors import ModelError, OutputError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.models.cards import CARD, WEIGHTS, find_model, list_cards, read_card, user_folder
from napari_unet.models.model import Model
from napari_unet.models.store import read_network, write_model
from napari_unet.models.zoo import load_model
from napari_unet.nets import build

SPEC = NetSpec(inputs=1, outputs=4, widths=(3, 4))


def make(name="tiny", spec=SPEC, seed=0):
    torch.manual_seed(seed)
    network = build(spec)
    network.train()(torch.randn(2, spec.inputs, 16, 16))
    return ModelCard(name=name, net=spec, target=TargetSpec(), metrics={"a": {"AP50": 0.5}}), network.eval()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / "tiny"
    write_model(path, *make())
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def load_anew(folder):
    return load_model(str(folder), "cpu")


def test_written_is_read(folder):
    card, network = make()
    read = read_card(folder)
    assert read == card.model_copy(update={"sha256": read.sha256})
    assert len(read.sha256) == 64
    assert sorted(p.name for p in folder.parent.iterdir()) == ["tiny"]
    again = read_network(folder, read)
    assert not again.training
    for name, value in again.state_dict().items():
        own = network.state_dict()[name]
        assert value.dtype == own.dtype
        # Convolutions are stored in 16 bits, everything else exactly.
        torch.testing.assert_close(value, own.half().to(own.dtype) if own.ndim > 1 else own, rtol=0, atol=0)


def test_what_is_read_predicts_the_same(folder, tmp_path):
    model = load_anew(folder)
    batch = np.random.default_rng(0).normal(size=(2, 1, 16, 16)).astype(np.float32)
    write_model(tmp_path / "copy", model.card, read_network(folder, model.card))
    copy = load_anew(tmp_path / "copy")
    assert copy.card.sha256 == model.card.sha256
    assert copy.predict(batch).tobytes() == model.predict(batch).tobytes()
    np.testing.assert_allclose(Model(*make(), "cpu").predict(batch), model.predict(batch), atol=0.02)


def test_a_folder_is_replaced_as_a_whole(folder):
    (folder / "notes.txt").write_text("old")
    before = read_card(folder)
    after = write_model(folder, *make(seed=1))
    assert after.sha256 != before.sha256
    assert sorted(p.name for p in folder.iterdir()) == [CARD, WEIGHTS]
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("method", ["write_bytes", "write_text"])
def test_a_failed_write_leaves_the_old_model(folder, monkeypatch, method):
    before = load_anew(folder).card

    def fail(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(OutputError, match="No space left"):
        write_model(folder, *make(seed=1))
    monkeypatch.undo()
    assert load_anew(folder).card == before
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_a_place_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(OutputError, match="file"):
            write_model(place, *make())


def change_card(folder, **more):
    file = folder / CARD
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def change_weights(folder, data):
    (folder / WEIGHTS).write_bytes(data)


def tensors(folder):
    return load((folder / WEIGHTS).read_bytes())


def rename_one(weights):
    return {name + ("_" if i == 0 else ""): value for i, (name, value) in enumerate(weights.items())}


DAMAGES = {
    "no card": lambda f: (f / CARD).unlink(),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "empty card": lambda f: (f / CARD).write_text(""),
    "no json": lambda f: (f / CARD).write_text("{'name': 1}"),
    "no text": lambda f: (f / CARD).write_bytes(b"\xff\xfe\x00\x80"),
    "a list": lambda f: (f / CARD).write_text("[]"),
    "endless": lambda f: (f / CARD).write_text("[" * 100_000),
    "extra field": lambda f: change_card(f, shoe_size=43),
    "missing field": lambda f: (f / CARD).write_text('{"name": "tiny"}'),
    "bad name": lambda f: change_card(f, name="../tiny"),
    "other hash": lambda f: change_card(f, sha256="0" * 64),
    "changed weights": lambda f: change_weights(f, (f / WEIGHTS).read_bytes()[:-1] + b"\x07"),
    "truncated weights": lambda f: change_weights(f, (f / WEIGHTS).read_bytes()[:-9]),
    "truncated, no hash": lambda f: (change_card(f, sha256=""), change_weights(f, (f / WEIGHTS).read_bytes()[:-9])),
    "empty, no hash": lambda f: (change_card(f, sha256=""), change_weights(f, b"")),
    "pickle": lambda f: (change_card(f, sha256=""), change_weights(f, pickle.dumps({"weight": [1.0]}))),
    "renamed": lambda f: (change_card(f, sha256=""), change_weights(f, save(rename_one(tensors(f))))),
    "none": lambda f: (change_card(f, sha256=""), change_weights(f, save({}))),
    "other shapes": lambda f: change_card(f, net=SPEC.model_copy(update={"widths": (3, 5)}).model_dump()),
    "deeper": lambda f: change_card(f, net=SPEC.model_copy(update={"widths": (3, 4, 5)}).model_dump()),
    "gigantic": lambda f: change_card(f, net=SPEC.model_copy(update={"widths": (10**6,) * 8}).model_dump()),
    "absurd": lambda f: change_card(f, net=SPEC.model_copy(update={"widths": (10**12,) * 2}).model_dump()),
    "negative": lambda f: change_card(f, net=SPEC.model_copy(update={"widths": (3, -4)}).model_dump()),
    "unknown network": lambda f: change_card(f, net=SPEC.model_copy(update={"architecture": "later"}).model_dump()),
    "unknown target": lambda f: change_card(f, target={"name": "later"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_model_error(folder, damage):
    DAMAGES[damage](folder)
    with pytest.raises(ModelError) as caught:
        load_anew(folder)
    assert str(folder) in str(caught.value)


def test_a_pickle_is_never_unpickled(folder):
    class Trap:
        def __reduce__(self):
            return Path.touch, (folder / "trapped",)

    change_card(folder, sha256="")
    change_weights(folder, pickle.dumps(Trap()))
    with pytest.raises(ModelError):
        load_anew(folder)
    assert not (folder / "trapped").exists()


def test_what_is_no_model(tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="a file"):
        load_anew(file)
    with pytest.raises(ModelError, match="without card"):
        load_anew(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        read_card(tmp_path / "nowhere")


def test_the_users_models_are_listed_and_found(folder, home):
    write_model(home / "beta", *make("beta"))
    mine = [card.name for card in list_cards() if card.name in ("tiny", "beta")]
    assert mine == ["beta", "tiny"]
    assert user_folder() == home
    assert find_model("beta") == home / "beta"
    assert load_model("beta", "cpu").card.name == "beta"


def test_a_copied_folder_is_found_by_the_name_that_is_listed(folder, home):
    folder.rename(home / "better")
    (name,) = {card.name for card in list_cards()} & {"tiny", "better"}
    assert load_model(name, "cpu").halo


def test_damaged_and_hidden_models_are_not_listed(folder, home):
    for name in ("broken", ".part"):
        write_model(home / name, *make("tiny"))
    (home / "broken" / CARD).write_text("{")
    (home / "empty").mkdir()
    (home / "file").write_text("")
    assert {card.name for card in list_cards()} & {"tiny", "broken", ".part", "empty", "file"} == {"tiny"}


def test_unknown_names_list_those_at_hand(folder, home):
    with pytest.raises(ModelError, match=r"no model called 'titan'\. At hand: .*tiny"):
        load_model("titan")


def test_a_missing_user_folder_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "none"))
    assert "tiny" not in [card.name for card in list_cards()]
    monkeypatch.delenv("NAPARI_UNET_MODELS")
    assert user_folder().parts[-2:] == ("napari-unet", "models")


def test_a_bundled_model_is_not_hidden_by_another_of_its_name(folder, home, tmp_path, monkeypatch):
    bundled = tmp_path / "bundled"
    monkeypatch.setattr("napari_unet.models.cards._BUNDLED", bundled)
    write_model(bundled / "tiny", *make(seed=2))
    write_model(bundled / "zeta", *make("zeta"))
    write_model(home / "alpha", *make("alpha"))
    assert find_model("tiny") == bundled / "tiny"
    assert [card.name for card in list_cards()] == ["tiny", "zeta", "alpha"]


def test_devices_are_checked(folder):
    with pytest.raises(ModelError, match="quantum"):
        load_model(str(folder), "quantum")


def test_loading_a_model_loads_no_compiler(bright):
    """It takes longer than all else; only the runtime that compiles needs it."""
    code = (
        "import sys; from napari_unet import workflows; "
        f"workflows.load_model({str(bright)!r}); print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "True False", done.stderr
