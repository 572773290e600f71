"""A device that is short of memory: the same labels, and the record says what was done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.errors import MemoryShortError, ModelError
from napari_unet.core.specs import SegmentSpec
from napari_unet.models import average, segment
from napari_unet.models.devices import on_device
from napari_unet.models.model import Model
from napari_unet.models.runtimes.eager import Eager

WORDS = {
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    "python": MemoryError(),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
}


@pytest.fixture
def spec(bright) -> SegmentSpec:
    return SegmentSpec.of(model=str(bright), diameter=12.0, tiling={"tile": 48, "batch": 4, "workers": 1})


@pytest.fixture
def image(disks) -> Any:
    return as_image(np.stack([disks[0], disks[0][::-1]]), "tyx", name="cells")


def short(monkeypatch: pytest.MonkeyPatch, above: int, error: Exception) -> list[int]:
    """Let torch fail above so many pixels; return the sizes that it was asked for."""
    real, asked = Eager._launch, []

    def launch(self: Eager, batch: np.ndarray, *more: Any) -> Any:
        asked.append(batch[:, 0].size)
        if batch[:, 0].size > above:
            raise error
        return real(self, batch, *more)

    monkeypatch.setattr(Eager, "_launch", launch)
    return asked


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize("words", ["torch", "python"])
def test_the_same_labels_in_smaller_bites(words, ending, image, spec, tmp_path, monkeypatch):
    expected = napari_unet.segment(image, spec)
    assert "retried" not in expected.manifest
    short(monkeypatch, 10000, WORDS[words])
    said: list[str] = []
    found = napari_unet.segment(image, spec, output=tmp_path / f"a{ending}", show=lambda p: said.append(p.news))
    assert found.hash == expected.hash
    assert found.manifest["retried"] == {"smaller_batch": found.manifest["retried"]["smaller_batch"]}
    assert len([news for news in said if "fewer tiles" in news]) == 1
    short(monkeypatch, 3000, WORDS[words])  # less than one tile, in whichever precision
    found = napari_unet.segment(image, spec, output=tmp_path / f"b{ending}")
    assert found.hash == expected.hash
    assert found.manifest["retried"].keys() == {"smaller_batch", "smaller_tile"}


def test_a_run_that_goes_on_keeps_the_record(image, spec, tmp_path, monkeypatch):
    short(monkeypatch, 10000, WORDS["torch"])
    steps = workflows.segment_steps(image, spec, (), preview=False, output=tmp_path / "a.zarr")
    for _ in range(12):
        next(steps)
    steps.close()
    monkeypatch.undo()
    found = napari_unet.segment(image, spec, output=tmp_path / "a.zarr")
    assert found.manifest["retried"]["smaller_batch"] > 0
    assert napari_unet.segment(image, spec, output=tmp_path / "a.zarr").manifest["retried"]  # verified, not refused
    assert found.hash == napari_unet.segment(image, spec).hash


def test_a_card_that_takes_nothing_hands_on_to_the_processor(image, spec, tmp_path, monkeypatch):
    expected = napari_unet.segment(image, spec)

    class Card:
        """A graphics card without memory, which pretends to be loaded."""

        device = "cuda"

        def __init__(self, model: Model) -> None:
            self._model = model

        def __getattr__(self, name: str) -> Any:
            return getattr(self._model, name)

        def predict_inner(self, batch: np.ndarray, *more: Any) -> np.ndarray:
            raise MemoryShortError("The graphics card 'cuda' has too little memory.")

        predict_stored = predict_inner

    monkeypatch.setattr(average, "gather", lambda how, image=None: Card(segment.gather(how, image)))
    found = napari_unet.segment(image, spec, output=tmp_path / "a.zarr")
    assert found.hash == expected.hash
    assert found.manifest["device"] == "cuda"
    assert found.manifest["retried"]["elsewhere"] > 0


def test_too_little_for_anything_is_said_in_words(image, spec, monkeypatch):
    short(monkeypatch, 1, WORDS["torch"])
    with pytest.raises(ModelError, match="even for a small tile"):
        napari_unet.segment(image, spec)


@pytest.mark.parametrize("words", WORDS)
def test_libraries_say_it_in_their_own_words(words):
    def work() -> None:
        raise WORDS[words]

    with pytest.raises(MemoryShortError, match="too little memory"):
        on_device("cpu", work)


def test_other_errors_stay_what_they_are():
    def work() -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        on_device("cpu", work)


@pytest.mark.gpu
def test_a_real_card_with_little_memory(image, spec):
    import torch

    large = as_image(np.tile(image.data[0], (20, 20)), "yx")
    how = spec.model_copy(update={"device": "cuda", "tiling": spec.tiling.model_copy(update={"tile": 1024})})
    expected = napari_unet.segment(large, how)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(60e6 / total)
    try:
        found = napari_unet.segment(large, how)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found.manifest["retried"]
    assert np.mean(found.labels.data != expected.labels.data) < 1e-3
