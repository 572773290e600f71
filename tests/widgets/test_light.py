"""Opening the docks loads nothing heavy: what a run needs is loaded when it runs, in its thread."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys
from napari.components import ViewerModel
import napari.layers, napari.utils.notifications
import magicgui.widgets
from qtpy.QtWidgets import QApplication

app = QApplication([])
viewer = ViewerModel()
before = set(sys.modules)
from napari_unet.widgets.measure import MeasureWidget
from napari_unet.widgets.models import ModelsWidget
from napari_unet.widgets.docks import cells
from napari_unet.widgets.track import TrackWidget
from napari_unet.widgets.train import TrainWidget

docks = cells(viewer), MeasureWidget(viewer), TrackWidget(viewer), ModelsWidget(viewer), TrainWidget(viewer)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
HEAVY = {"torch", "dask", "skimage", "tifffile", "zarr", "numba", "scipy", "pandas", "safetensors", "pyqtgraph"}


def test_opening_the_docks_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_of_docks_loads_no_screen() -> None:
    code = "import sys, napari_unet.widgets._settings; print({'napari', 'qtpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
