"""A pyramid saves reading: objects are found in a coarser level, and outlined on the image's own grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.specs import SegmentSpec


@pytest.fixture
def slide(disks):
    """Disks four times as wide, as a pyramid."""
    data = np.kron(disks[0], np.ones((4, 4), np.uint16))
    levels = tuple(data.reshape(len(data) // n, n, -1, n).mean((1, 3)).astype(np.uint16) for n in (2, 4, 8))
    return Image(data, "yx", levels=levels)


def test_objects_are_those_of_the_full_image(bright, slide):
    found = workflows.segment(slide, model=str(bright), diameter=48)
    assert found.labels.shape == slide.shape
    flat = workflows.segment(Image(slide.data, "yx"), model=str(bright), diameter=48)
    assert found.objects == flat.objects == 42
    assert np.mean((found.labels.data > 0) == (flat.labels.data > 0)) > 0.99


def test_labels_do_not_depend_on_tiles(bright, slide):
    hashes = {
        workflows.segment(slide, model=str(bright), diameter=45, tiling={"tile": tile, "batch": batch}).hash
        for tile, batch in ((0, 1), (16, 3), (50, 2))
    }
    assert len(hashes) == 1


def test_object_size_is_measured_on_levels_too(bright, slide):
    flat = Image(slide.data, "yx")
    sizes = [workflows.segment(image, model=str(bright)).diameter for image in (slide, flat)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_a_run_does_not_go_on_where_coarser_levels_were_changed(bright, slide, tmp_path):
    spec = SegmentSpec(model=str(bright), diameter=48, tiling={"tile": 32})
    steps = workflows.segment_steps(slide, spec, output=tmp_path / "a.ome.zarr", preview=False)
    while next(steps).done < 2:
        pass
    steps.close()
    other = replace(slide, levels=(slide.levels[0], slide.levels[1] // 2, slide.levels[2]))
    with pytest.raises(OutputError, match=r"unfinished labels of another image, or of this one .* \(coarser: "):
        workflows.segment(other, spec, output=tmp_path / "a.ome.zarr")
    found = workflows.segment(slide, spec, output=tmp_path / "a.ome.zarr")
    assert found.hash == workflows.segment(slide, spec).hash != workflows.segment(other, spec).hash
    assert (tmp_path / "a.ome.zarr").exists()
