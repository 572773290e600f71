"""What was corrected is measured again, and the table is as if all had been."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.measures import _again as again
from napari_unet.measures._again import measure_again
from napari_unet.measures.objects import measure

CASES = {"yx": (120, 150), "tyx": (3, 60, 50), "zyx": (12, 40, 50), "tzyx": (2, 6, 30, 40), "xyt": (40, 50, 3)}


def scene(axes: str) -> tuple[Image, Image]:
    rng = np.random.default_rng(3)
    shape = CASES[axes]
    coarse = rng.integers(0, 60, [-(-n // 7) if a != "t" else n for n, a in zip(shape, axes, strict=True)])
    labels = coarse
    for i, (n, a) in enumerate(zip(shape, axes, strict=True)):
        labels = labels if a == "t" else labels.repeat(7, i).take(range(n), i)
    labels = np.where(rng.random(shape) > 0.1, labels, 0).astype(np.int32)
    scale = tuple(0.5 + i for i in range(len(axes)))
    return Image(labels, axes, scale), Image(rng.integers(0, 999, shape).astype(np.uint16), axes, scale)


@pytest.mark.parametrize("at_once", [10**9, 1])
@pytest.mark.parametrize("axes", CASES)
def test_as_if_all_were_measured(axes: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "_AT_ONCE", at_once)
    labels, image = scene(axes)
    table = measure(labels, image)
    box = {a: slice(1, 2) if a == "t" else slice(n // 3, n // 2) for a, n in zip(axes, labels.shape, strict=True)}
    where = tuple(box[a] for a in axes)
    before = labels.data[where].copy()
    after = before.copy()
    rng = np.random.default_rng(0)
    after[rng.random(after.shape) > 0.5] = 0
    gone = np.unique(before)[1]
    labels.data[where] = after
    frame = tuple(box["t"] if a == "t" else slice(None) for a in axes)
    labels.data[frame][labels.data[frame] == gone] = 0  # vanishes
    after = labels.data[where]
    after[after == np.unique(before)[-1]] = 777  # appears
    ids = sorted({*before[before != after].tolist(), *after[before != after].tolist(), int(gone)} - {0})
    found = measure_again(table, labels, image, ids, box)
    expected = measure(labels, image)
    assert list(found) == list(expected)
    assert gone not in found["index"][found["t"] == 1] if "t" in axes else gone not in found["index"]
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-9, err_msg=name)


def test_channels_keep_their_names() -> None:
    labels, image = scene("yx")
    both = Image(np.stack([image.data, 2 * image.data]), "cyx", channel_names=("T1", "FLAIR"))
    table = measure(labels, both)
    labels.data[20:40, 20:40] = 0
    gone = sorted(set(table["index"].tolist()) - set(measure(labels)["index"].tolist()))
    found = measure_again(table, labels, both, range(1, 60), {"y": slice(20, 40), "x": slice(20, 40)})
    assert not set(gone) & set(found["index"].tolist())
    np.testing.assert_allclose(found["intensity_mean_FLAIR"], measure(labels, both)["intensity_mean_FLAIR"])


def test_other_columns_are_kept() -> None:
    labels, _ = scene("yx")
    table = measure(labels) | {"mine": np.arange(len(np.unique(labels.data)) - 1, dtype=float)}
    one = int(table["index"][5])
    row = {a: slice(int(table[f"bbox_{a}0"][5]), int(table[f"bbox_{a}1"][5])) for a in "yx"}
    found = measure_again(table, labels, None, [one], row)
    assert np.isnan(found["mine"][5])
    assert list(np.delete(found["mine"], 5)) == list(np.delete(table["mine"], 5))
    short = {name: table[name] for name in ("index", "area")}
    assert list(measure_again(short, labels, None, [one], row)) == list(measure(labels))
