"""Runs that were stopped are found by the image they are of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.io.unfinished import find_unfinished


def stopped(folder: Path, name: str, shape: tuple[int, ...] = (30, 40), when: float = 1e9, **more: Any) -> Path:
    run = folder / f"{name}.ome.zarr.unfinished"
    (run / "scores").mkdir(parents=True)
    about = {"axes": "yx", "shape": list(shape), "dtype": "uint8"}
    settings = {"model": "nuclei", "diameter": 12.0, **more}
    (run / "manifest.json").write_text(json.dumps({"identity": {"image": about, "settings": settings}}))
    for part in (run / "scores", run / "manifest.json"):
        os.utime(part, (when, when))
    return folder / f"{name}.ome.zarr"


def test_the_latest_run_on_this_image_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    image = Image(np.zeros((30, 40), np.uint8), "yx")
    here = tmp_path / "images"
    assert find_unfinished(image, [here]) == []
    first = stopped(here, "a", when=1e9)
    second = stopped(here, "b", when=1.1e9, model=["/models/one", "two"])
    stopped(here, "c", shape=(40, 30))
    third = stopped(tmp_path / "home" / "napari-unet" / "labels", "d", when=1.2e9)
    for name, text in {"e": "{", "f": "{}", "g": '{"identity": 3}'}.items():
        (here / f"{name}.zarr.unfinished").mkdir()
        (here / f"{name}.zarr.unfinished/manifest.json").write_text(text)
    found = find_unfinished(image, [here, here])
    elsewhere = [third] if os.name != "posix" or os.uname().sysname != "Darwin" else []
    assert [each.output for each in found] == [*elsewhere, second, first]
    assert found[-1].settings == {"model": "nuclei", "diameter": 12.0}
    assert "a.ome.zarr (model nuclei)" in found[-1].words
    assert "model one and two" in found[-2].words or "and two" in found[-2].words
