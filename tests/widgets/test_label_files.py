"""Labels layers saved for QuPath and ImageJ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import roifile
from napari.layers import Labels
from napari.plugins.io import save_layers
from npe2 import PluginManager

from napari_unet import workflows
from napari_unet.core.axes import Image


def test_labels_are_saved_as_rois_and_objects_of_qupath(tmp_path: Path) -> None:
    data = np.zeros((3, 8, 9), np.int32)
    data[1, 2:5, 3:6], data[2, 2:6, 3:6], data[0, 0, 0] = 4, 4, 11
    layer = Labels(data, scale=(2, 0.5, 0.5), units=("micrometer",) * 3, axis_labels=("z", "y", "x"))
    PluginManager.instance().discover()
    for name in ("RoiSet.zip", "cells.geojson"):
        place = str(tmp_path / name)
        assert save_layers(place, [layer], plugin="napari-unet-suite") == [place]
        np.testing.assert_array_equal(workflows.read_labels(place, None, Image(data, "zyx")).data, data)
    rois = roifile.roiread(tmp_path / "RoiSet.zip")
    assert [(roi.name, roi.position) for roi in rois] == [("11_z1", 1), ("04_z2", 2), ("04_z3", 3)]
    feature = json.loads((tmp_path / "cells.geojson").read_text("utf-8"))["features"][1]
    assert feature["properties"]["measurements"] == {"Area px^2": 9, "Area µm^2": 2.25}
    assert feature["geometry"]["plane"] == {"c": -1, "z": 1, "t": 0}
