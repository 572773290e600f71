"""The page on networks says what is measured, and what the presets are."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from napari_unet.core.networks import list_networks, load_network
from napari_unet.nets import halo

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "networks.md"


@pytest.fixture
def family(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("family")


def between(text, name):
    return re.search(rf"<!-- table: {name} -->\n(.*?)\n?<!-- end table -->", text, re.DOTALL)[1]


def test_tables_are_those_measured(family):
    text = PAGE.read_text("utf-8")
    assert family.filled(text) == text, "run: python benchmarks/family.py --tables"


def test_what_was_measured_are_the_networks_of_today(family):
    rows = json.loads(family.RESULTS.read_text("utf-8"))["members"]
    assert list(rows) == [preset.name for preset in list_networks()]
    for name, row in rows.items():
        net = family.net_of(name)
        now = {"parameters": family.parameters(net), "macs": round(family.macs(net)), "halo": halo(net)}
        assert {key: row[key] for key in now} == now, (
            f"{name} has changed since: take it out of family.json, measure again"
        )


def test_measured_figures_become_a_table(family, tmp_path, monkeypatch):
    row = {"parameters": 1_942_628, "macs": 46_320, "halo": 109, "cpu_mpx": 1.234, "cpu_step": 0.5, "AP50": 0.71236}
    row |= {"mAP": 0.5, "precision": "float32"}
    other = row | {"mAP": 0.25, "cpu_mpx": 0.617, "gpu_mpx": 3.0, "machine": {"cpu": "Abacus"}}
    report = {"settings": {"steps": 7, "patch": 128}, "members": {"unet": row, "unet-2015": other}}
    monkeypatch.setattr(family, "RESULTS", tmp_path / "family.json")
    monkeypatch.setattr(family, "sizes", lambda: "sizes")
    family.RESULTS.write_text(json.dumps(report))
    text = family.filled(PAGE.read_text("utf-8"))
    lines = between(text, "family").splitlines()
    assert len(lines) == 4
    # What was not measured for all is left out.
    assert "graphics card" not in lines[0]
    assert lines[2] == "| `unet` | 1.94 | 46.3 | 109 | 1.23 | 1.00 | 0.50 | 0.712 | 0.500 |"
    assert lines[3].split(" | ")[5] == "0.50"
    said = between(text, "conditions")
    assert "7 steps, 8 patches a step of 128 × 128 pixels (`unet-2015` 316 × 316)" in said
    # What a file does not know is not made up.
    assert "on Abacus and a processor whose name was not written down, in float32" in said
    report["members"]["unet"] |= {"machine": {"cpu": "Abacus"}}
    assert "on Abacus, in float32" in family.conditions(report)


def test_what_the_page_says_of_the_comparison(family):
    rows, text = json.loads(family.RESULTS.read_text("utf-8"))["members"], PAGE.read_text("utf-8")
    slow = {name for name, row in rows.items() if row["cpu_mpx"] < 0.5 * rows["unet"]["cpu_mpx"]}
    assert set(re.findall(r"`([\w-]+)`", re.search(r"\*\*The slow ones are (.*?)\*\*", text)[1])) == slow
    assert rows["dense-unet"]["cpu_mpx"] == min(row["cpu_mpx"] for row in rows.values())
    for name in slow:
        assert re.search(rf"\| `{name}`:.* slow", text)
    assert 0.45 < rows["nested-unet"]["cpu_mpx"] / rows["unet"]["cpu_mpx"] < 0.55
    assert 2.7 < ((family.TILE + 2 * rows["residual-unet"]["halo"]) / family.TILE) ** 2 < 3
    old, usual = rows["unet-2015"], rows["unet"]
    assert 5.7 < (family.patch_of(family.net_of("unet-2015"), 128) / 128) ** 2 < 6.3
    assert 2 < old["cpu_step"] / usual["cpu_step"] < 3
    assert 0.9 < old["cpu_mpx"] / usual["cpu_mpx"] < 1.1
    assert max(rows, key=lambda name: rows[name]["AP50"]) == "unet-2015"


def test_every_member_is_told_of_and_can_be_compared(family):
    text = PAGE.read_text("utf-8")
    usual = family.macs(family.net_of("unet"))
    for preset in list_networks():
        assert f"\n**`{preset.name}`**" in text
        assert preset.doi in text
        work = family.macs(family.net_of(preset.name)) / usual
        assert 0.8 < work < 1.25 or (preset.name == "light-unet" and work < 0.25)


def test_multiplications_are_counted_by_hand(family):
    # 64 x 64 pixels: 3 -> 4 and 4 -> 4, below 4 -> 6 and 6 -> 6, up 6 -> 4, 8 -> 4 and 4 -> 4, the head 4 -> 4.
    net = load_network("unet", 2, 3, 4, widths=(4, 6))
    assert family.macs(net) == 9 * (12 + 16 + 32 + 16) + 16 + (9 * (24 + 36) + 24 * 4) / 4


def test_the_example_for_flat_volumes(family):
    text = PAGE.read_text("utf-8")
    code = re.search(r"(net = load_network\(\n.*?^\))", text, re.DOTALL | re.MULTILINE)[1]
    scope = {"load_network": load_network}
    exec(code, scope)
    assert "here {}, {} and {} pixels".format(*halo(scope["net"])) in text
