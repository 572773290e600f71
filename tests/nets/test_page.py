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
    if not family.RESULTS.exists():
        assert between(text, "family") == "Not measured yet."


def test_measured_figures_become_a_table(family, tmp_path, monkeypatch):
    row = {"parameters": 1_942_628, "macs": 46_320, "halo": 109, "cpu_mpx": 1.234, "cpu_step": 0.5, "AP50": 0.71236}
    report = {"settings": {}, "members": {"unet": {**row, "mAP": 0.5}, "other": {**row, "mAP": 0.25, "gpu_mpx": 3.0}}}
    monkeypatch.setattr(family, "RESULTS", tmp_path / "family.json")
    monkeypatch.setattr(family, "sizes", lambda: "sizes")
    family.RESULTS.write_text(json.dumps(report))
    lines = between(family.filled(PAGE.read_text("utf-8")), "family").splitlines()
    assert len(lines) == 4
    # What was not measured for all is left out.
    assert "graphics card" not in lines[0]
    assert lines[2] == "| `unet` | 1.94 | 46.3 | 109 | 1.23 | 0.50 | 0.712 | 0.500 |"


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
