"""What is too large for the memory is known before it is allocated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.core import memory
from napari_unet.core.axes import Image


def test_memory_is_known_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "meminfo")
    assert memory.free_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 4 kB\nMemAvailable:     3 kB\n")
    assert memory.free_memory() == 3 * 1024
    (tmp_path / "meminfo").write_text("MemTotal: 4 kB\n")
    assert memory.free_memory() is None


@pytest.mark.parametrize(
    ("shape", "axes", "free", "large"),
    [
        ((1000, 1000), "yx", 17_000_000, False),
        ((1000, 1000), "yx", 15_000_000, True),
        ((40, 1000, 1000), "cyx", 17_000_000, False),  # labels have no channels
        ((1000, 1000), "yx", None, False),
        ((2**14 + 1, 2**14), "yx", None, True),
        ((2**14, 2**14), "yx", 2**40, False),
    ],
)
def test_what_is_large(
    shape: tuple[int, ...], axes: str, free: int | None, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    assert memory.is_large(Image(np.broadcast_to(np.uint8(0), shape), axes)) is large
