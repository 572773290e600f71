"""What is too large for the memory is known before it is allocated."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from napari_unet.core import memory
from napari_unet.core.axes import Image


def test_memory_is_known_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=4096, available=3072))
    assert (memory.free_memory(), memory.total_memory()) == (3072, 4096)

    def unknown() -> None:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", unknown)
    assert memory.free_memory() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_system() -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text("utf-8").splitlines())
    assert memory.total_memory() == int(lines["MemTotal"].split()[0]) * 1024


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
