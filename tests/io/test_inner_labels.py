"""Labels inside the image that they are of, where other programs look for them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError, SpecError
from napari_unet.io.contents import read_contents
from napari_unet.io.inner_labels import check_inside, consolidate_again, put_inside
from napari_unet.io.labels import read_labels, write_labels

LABELS = np.arange(6 * 8, dtype=np.int32).reshape(6, 8) // 5
AXES = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
MULTISCALE = {
    "axes": AXES,
    "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}],
}


@pytest.fixture(params=[2, 3])
def plate(request, tmp_path):
    """A plate of one field, as zarr of version 2 (OME-NGFF 0.4) or 3 (0.5)."""
    old = request.param == 2
    place = tmp_path / "plate.ome.zarr"
    root = zarr.open_group(place, mode="w", zarr_format=request.param)

    def tell(group, key, value):
        version = "0.4" if old else "0.5"
        group.attrs.update({key: value} if old else {"ome": {"version": version, key: value}})

    tell(root, "plate", {"wells": [{"path": "B/3"}]})
    well = root.create_group("B/3")
    tell(well, "well", {"images": [{"path": "0"}]})
    field = well.create_group("0")
    field.create_array("0", data=np.ones((6, 8), np.uint8))
    tell(field, "multiscales", [MULTISCALE])
    return place


def store(place, values=LABELS, **facts):
    write_labels(place, Image(values, "yx", (0.5, 0.25), ("micrometer",) * 2), facts, overwrite=True)
    return place


def told(group):
    """Return what OME-NGFF says of a group, wherever its version says it."""
    return dict(group.attrs).get("ome", dict(group.attrs))


def test_labels_are_where_other_programs_look(plate, tmp_path):
    field = plate / "B" / "3" / "0"
    put_inside(field, "nuclei", store(tmp_path / "a.ome.zarr", model="m"))
    group = zarr.open_group(field, mode="r")
    old = group.metadata.zarr_format == 2
    assert told(group["labels"])["labels"] == ["nuclei"]
    inner = group["labels/nuclei"]
    assert inner.metadata.zarr_format == group.metadata.zarr_format
    said = told(inner)
    assert said["image-label"]["source"] == {"image": "../../"}
    (multiscale,) = said["multiscales"]
    assert multiscale["name"] == "nuclei"
    assert multiscale["datasets"][0]["coordinateTransformations"][0] == {"type": "scale", "scale": [0.5, 0.25]}
    assert (multiscale.get("version") if old else said["version"]) == ("0.4" if old else "0.5")
    assert np.array_equal(inner[multiscale["datasets"][0]["path"]][:], LABELS)
    found = read_labels(field)
    assert (found.scale, np.array_equal(np.asarray(found.data), LABELS)) == ((0.5, 0.25), True)
    images, labels = read_contents(field)
    assert (len(images), len(labels)) == (1, 1)
    assert np.array_equal(np.asarray(images[0].data), np.ones((6, 8)))


def test_others_are_refused_and_own_ones_replaced(plate, tmp_path):
    field = plate / "B" / "3" / "0"
    ours = store(tmp_path / "a.ome.zarr", model="m")
    put_inside(field, "nuclei", ours)
    put_inside(field, "nuclei", ours)
    put_inside(field, "cells", ours)
    assert told(zarr.open_group(field / "labels", mode="r"))["labels"] == ["nuclei", "cells"]
    other = store(tmp_path / "b.ome.zarr", LABELS[::-1].copy(), model="n")
    with pytest.raises(OutputError, match=r"holds other labels.*--overwrite"):
        put_inside(field, "nuclei", other)
    put_inside(field, "nuclei", other, overwrite=True)
    assert np.array_equal(np.asarray(read_labels(field).data), LABELS[::-1])
    corrected = store(tmp_path / "b.ome.zarr", LABELS, model="n", edited=["today"])
    put_inside(field, "nuclei", corrected)
    assert np.array_equal(np.asarray(read_labels(field).data), LABELS), "corrected beside the plate"
    with pytest.raises(OutputError, match="corrected by hand"):
        check_inside(field, "nuclei", labels=store(tmp_path / "b.ome.zarr", model="n"))
    assert sorted(each.name for each in (field / "labels").iterdir() if each.is_dir()) == ["cells", "nuclei"]


def test_names_and_places_are_checked(plate, tmp_path):
    for name in ("", "a/b", "..", ".x"):
        with pytest.raises(SpecError, match="no name for labels"):
            check_inside(plate / "B" / "3" / "0", name)
    (tmp_path / "a.tif").touch()
    with pytest.raises(OutputError, match="is no OME-Zarr"):
        check_inside(tmp_path / "a.tif", "nuclei")


@pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated metadata:UserWarning")
def test_summaries_of_metadata_know_of_them(plate, tmp_path):
    zarr.consolidate_metadata(plate)
    field = plate / "B" / "3" / "0"
    put_inside(field, "nuclei", store(tmp_path / "a.ome.zarr"))
    consolidate_again([field])
    assert "nuclei" in zarr.open_group(plate, mode="r", use_consolidated=True)["B/3/0/labels"]
    if (field / "zarr.json").is_file():
        assert not json.loads((field / "zarr.json").read_text()).get("consolidated_metadata"), "only where it was"
