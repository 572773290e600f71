"""Cards: old ones keep loading, by hand or by machine, and damaged models are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard, is_plain
from napari_unet.models import _old_cards
from napari_unet.models.cards import (
    CARD,
    CARD_TOML,
    WEIGHTS,
    bundled,
    find_card,
    find_model,
    list_cards,
    list_damaged,
    read_card,
)
from napari_unet.models.store import read_network

DATA = Path(__file__).parent / "data"
OLD = DATA / "old-model"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def copy(home, name, **more):
    shutil.copytree(OLD, home / name)
    file = home / name / CARD
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    return home / name


def test_the_first_version_of_a_model_loads_and_scores_as_it_did():
    card = read_card(OLD)
    assert (card.name, card.target.name, card.license, card.foreign) == ("old", "heat", "CC0-1.0", None)
    assert card.normalize.limits == (-1.0, 4.0)
    ramp = np.linspace(-1, 2, 256, dtype=np.float32).reshape(1, 1, 16, 16)
    with torch.inference_mode():
        scores = read_network(OLD, card)(torch.from_numpy(ramp)).numpy()
    # Written by the program that wrote the model.
    assert scores.shape == (1, 3, 16, 16)
    np.testing.assert_allclose(scores[0, :, 5, 7], [0.0100333, -0.0409026, -0.4937291], atol=1e-5)
    np.testing.assert_allclose(scores[0, :, 15, 0], [-0.3643087, -0.4523257, -0.3581184], atol=1e-5)


def test_the_first_card_of_the_nuclei_model_keeps_what_it_said(tmp_path):
    said = json.loads((DATA / "old-card.json").read_text())
    (tmp_path / CARD).write_text(json.dumps(said))
    now = json.loads(read_card(tmp_path).model_dump_json())

    def check(old, new, at=()):
        for before, value in old.items():
            name = _old_cards.FIELDS.get((*at, before), before)
            if isinstance(value, dict):
                check(value, new[name], (*at, name))
            else:
                assert new[name] == value, name

    check(said, now)
    assert now["license"] == "CC0-1.0"


def test_renamed_fields_and_values(home, monkeypatch):
    monkeypatch.setitem(_old_cards.FIELDS, ("net", "levels"), "widths")
    monkeypatch.setitem(_old_cards.VALUES, (("net", "block"), "resnet"), "residual")
    said = json.loads((OLD / CARD).read_text())
    net = said["net"] | {"levels": said["net"]["widths"], "block": "resnet"}
    del net["widths"]
    folder = copy(home, "renamed", net=net)
    assert read_card(folder).net == read_card(OLD).net
    monkeypatch.undo()
    with pytest.raises(ModelError, match="levels"):
        read_card(folder)


def test_american_spellings_are_understood(home):
    said = json.loads((OLD / CARD).read_text())
    said["license"], said["normalize"] = said.pop("licence"), said.pop("normalise") | {"low": 3.0}
    folder = copy(home, "american")
    (folder / CARD).write_text(json.dumps(said))
    card = read_card(folder)
    assert (card.license, card.normalize.low) == ("CC0-1.0", 3.0)


def test_what_is_no_card_is_left_for_the_check():
    for value in ([], None, 3, "text", {"a": [{"license": 1}]}):
        assert _old_cards.renewed(value) == value


def test_a_card_may_be_toml(home):
    folder = copy(home, "by-hand")
    said = json.loads((folder / CARD).read_text())
    (folder / CARD).unlink()
    (folder / CARD_TOML).write_text(
        f'name = "mine"\nsha256 = "{said["sha256"]}"\nlicense = "CC0-1.0"\n'
        '[net]\ninputs = 1\noutputs = 3\nwidths = [2, 3]\nblock = "residual"\n[target]\nname = "heat"\n'
    )
    assert find_card(folder) == folder / CARD_TOML
    assert [card.name for card in list_cards() if card.name == "by-hand"] == ["by-hand"]
    assert read_network(find_model("by-hand"), read_card(folder))
    (folder / CARD_TOML).write_text("name = ")
    with pytest.raises(ModelError, match=r"card\.toml cannot be used"):
        read_card(folder)


def test_damage_of_a_card_is_told_in_words(home):
    folder = copy(home, "odd", channels="many", wings=2)
    with pytest.raises(ModelError) as caught:
        read_card(folder)
    said = str(caught.value)
    assert "wings: there is no such setting" in said
    assert "channels: " in said
    assert "pydantic" not in said
    (folder / CARD).write_text("[]")
    with pytest.raises(ModelError, match="it holds no fields"):
        read_card(folder)


def test_damaged_models_are_named_with_the_reason(home):
    copy(home, "sound")
    (copy(home, "no-card") / CARD).write_text("{")
    (copy(home, "no-weights") / WEIGHTS).unlink()
    copy(home, "from-the-future", wings=2)
    copy(home, "unknown-target", target={"name": "telepathy"})
    (home / "no-model").mkdir()
    damaged = dict(list_damaged())
    assert list(damaged) == ["from-the-future", "no-card", "no-weights", "unknown-target"]
    assert "wings" in damaged["from-the-future"]
    assert "newer" in damaged["from-the-future"]
    assert "weights.safetensors is missing" in damaged["no-weights"]
    assert "telepathy" in damaged["unknown-target"]
    assert {card.name for card in list_cards()} & {*damaged, "sound"} == {"sound"}


def test_a_huge_card_is_not_read(home):
    folder = copy(home, "huge")
    (folder / CARD).write_text(" " * (2**22 + 1))
    with pytest.raises(ModelError, match="larger than"):
        read_card(folder)


def test_what_is_known_of_tiles_is_said_in_words():
    card = read_card(OLD)
    assert (card.tile_invariant, card.tile_mismatch, card.tiles) == (True, None, "")
    words = {None: "labels may depend on their size", 0.0: "made no difference", 0.314: "changed by up to 0.31"}
    for value, said in words.items():
        assert said in card.model_copy(update={"tile_invariant": False, "tile_mismatch": value}).tiles


def test_bundled_is_by_place(home):
    assert bundled(find_model("nuclei"))
    assert not bundled(copy(home, "nuclei"))


@pytest.mark.parametrize("name", ["nuclei", "My cells 2", "a.b", "été", "Contours", "Com"])
def test_plain_names(name):
    assert is_plain(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "C:", "a*", "a.", " a", "a ", "a\n", "a?", "CON", "nul.x", "lpt1"]
)
def test_names_that_no_folder_can_have(name):
    assert not is_plain(name)
    with pytest.raises(ValueError, match="plain word"):
        ModelCard.model_validate({"name": name, "net": {}, "target": {}})
