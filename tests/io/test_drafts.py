"""Corrections are kept from the moment they are made until they are put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.io.drafts import drop_draft, find_draft, has_draft, keep_draft
from napari_unet.io.edits import Change
from napari_unet.io.journal import Journal


def change(start: int = 5, paint: int = 7) -> Change:
    before = np.arange(24, dtype=np.int32).reshape(1, 4, 6)
    after = before.copy()
    after[0, 1] = paint
    window = {"t": slice(2, 3), "y": slice(start, start + 4), "x": slice(0, 6)}
    return Change(window, Image(before, "tyx"), Image(after, "tyx"))


def same(one: Change | None, other: Change) -> None:
    assert one is not None
    assert dict(one.window) == dict(other.window)
    for a, b in ((one.before, other.before), (one.after, other.after)):
        assert a.axes == b.axes
        np.testing.assert_array_equal(a.data, b.data)
        assert a.data.flags.writeable


def test_what_was_kept_last_is_found(tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    assert find_draft(output) is None
    for made in (change(), change(paint=9), change(start=8)):
        keep_draft(output, made)
        assert has_draft(output)
        same(find_draft(output), made)
    drop_draft(output)
    assert not has_draft(output)
    assert list(tmp_path.iterdir()) == []
    drop_draft(output)


def test_damage_and_company_are_noticed(tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    keep_draft(output, change())
    with Journal(tmp_path / "a.ome.zarr.region"), pytest.raises(OutputError, match="Another program"):
        keep_draft(output, change())
    (tmp_path / "a.ome.zarr.region/region/after.part").write_bytes(b"unet")
    with pytest.raises(OutputError, match="Remove the folder"):
        find_draft(output)
    (tmp_path / "a.ome.zarr.region/manifest.json").write_text('{"axes": "yx", "window": [1]}')
    with pytest.raises(OutputError, match="Remove that folder"):
        find_draft(output)
