"""A place for labels that nobody chose: beside the image, or where one can always write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_unet.io import choosing
from napari_unet.io.choosing import choose_place, data_folder


def test_beside_the_image(tmp_path: Path) -> None:
    assert choose_place(tmp_path / "slide.tif", "slide-cells.ome.zarr") == tmp_path / "slide-cells.ome.zarr"
    assert not list(tmp_path.iterdir())


def test_where_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "data_folder", lambda: tmp_path / "data")
    expected = tmp_path / "data" / "labels" / "a.ome.zarr"
    assert choose_place(tmp_path / "missing" / "slide.tif", "a.ome.zarr") == expected
    assert choose_place(None, "a.ome.zarr") == expected
    assert expected.parent.is_dir()


@pytest.mark.parametrize(
    ("platform", "end"), [("linux", ("share",)), ("darwin", ("Library", "Application Support")), ("win32", ("Local",))]
)
def test_the_folder_of_the_platform(platform: str, end: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    assert data_folder().parts[-1 - len(end) :] == (*end, "napari-unet")


def test_choosing_loads_nothing_heavy() -> None:
    code = "import sys, napari_unet.io.choosing; print({'numpy', 'zarr'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
