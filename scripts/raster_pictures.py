"""Take the pictures of the manual's page on satellite images: the dock with its classes, and polygons on a map.

Run it as ``python scripts/raster_pictures.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
It needs the data that ``NAPARI_UNET_DATA`` or ``../shared/data`` holds: a tile of the aerial images of Dubai by Humans
in the Loop and MBRSC (CC0). Tiles do not say where they lie, so this one gets a place that is made up.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import pyqtgraph
import rasterio
import shapely
from PIL import Image as Picture
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QPainterPath, QPolygonF
from qtpy.QtWidgets import QApplication, QGraphicsPathItem
from rasterio.transform import Affine
from window import capture, open_viewer, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.core.specs import load_task
from napari_unet.widgets import _reader
from napari_unet.widgets.docks import satellite

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
TILE = DATA / "satellite" / "dubai_aerial" / "images" / "tile2_part_001.jpg"
PLACE = Affine(0.5, 0.0, 325000.0, 0.0, -0.5, 2785000.0)


def place_tile(folder: Path) -> Path:
    """Write the tile as a raster in UTM zone 40."""
    with Picture.open(TILE) as opened:
        bands = np.moveaxis(np.asarray(opened), -1, 0)
    path = folder / "tile.tif"
    facts = {"count": 3, "height": bands.shape[1], "width": bands.shape[2], "dtype": "uint8", "crs": "EPSG:32640"}
    with rasterio.open(path, "w", driver="GTiff", transform=PLACE, photometric="RGB", **facts) as raster:
        raster.write(bands)
    return path


def show_dock(folder: Path, tile: Path) -> Path:
    """Write the picture of the dock after a run."""
    prepare(folder)
    viewer = open_viewer()
    for layer in _reader.read(str(tile)):
        viewer._add_layer_from_data(*layer)
    widget = satellite(viewer)
    viewer.window.add_dock_widget(widget, name="Segment satellite and aerial images", area="right")
    settle(1.0)
    viewer.reset_view()
    widget.run()
    wait_for(lambda: widget.job is None)
    viewer.layers[-1].opacity = 0.45
    settle(1.5)
    capture(viewer, folder / "raster.png")
    viewer.close()
    settle(0.2)
    return folder / "raster.png"


def draw_map(folder: Path, tile: Path) -> Path:
    """Draw the polygons that the command writes over the raster, with coordinates along the edges."""
    found = workflows.segment(workflows.read_image(tile), model="aerial-landcover")
    workflows.write_labels(tile.with_name("cover.tif"), found.labels, found.manifest)
    workflows.write_polygons(tile.with_name("cover.tif"), tile.with_name("cover.gpkg"), simplify=2.0, min_area=20.0)
    meta, _, geometry, columns = pyogrio.raw.read(tile.with_name("cover.gpkg"))
    kinds = columns[meta["fields"].tolist().index("class")]
    colors = {row.name: row.color for row in load_task("satellite").target.table}
    plot = pyqtgraph.PlotWidget(background="w")
    plot.resize(760, 620)
    plot.setAspectLocked(True)
    with rasterio.open(tile) as raster:
        left, bottom, right, top = raster.bounds
        pixels = np.moveaxis(raster.read(), 0, -1)[::-1]
    plot.addItem(pyqtgraph.ImageItem(pixels, axisOrder="row-major", rect=(left, bottom, right - left, top - bottom)))
    for shape, kind in zip(shapely.from_wkb(geometry), kinds, strict=True):
        item = QGraphicsPathItem(_outline(shape))
        color = QColor(colors[kind])
        item.setPen(pyqtgraph.mkPen(color, width=1.2))
        color.setAlphaF(0.3)
        item.setBrush(color)
        plot.addItem(item)
    legend = plot.addLegend(offset=(-8, 8), brush="#ffffffdd", labelTextColor="k")
    for kind, color in colors.items():
        legend.addItem(pyqtgraph.ScatterPlotItem(symbol="s", size=12, brush=color, pen=None), kind)
    for side, words in (("bottom", "Easting, EPSG:32640 (m)"), ("left", "Northing (m)")):
        plot.setLabel(side, words, color="k")
        axis = plot.getAxis(side)
        axis.enableAutoSIPrefix(False)
        axis.tickStrings = lambda values, _scale, _spacing: [f"{value:.0f}" for value in values]
        axis.setTextPen("k")
        axis.setPen("k")
    plot.setRange(xRange=(left, right), yRange=(bottom, top), padding=0.01)
    plot.show()
    settle(1.0)
    plot.grab().save(str(folder / "map.png"))
    plot.close()
    return folder / "map.png"


def _outline(shape: shapely.Geometry) -> QPainterPath:
    path = QPainterPath()
    for part in shapely.get_parts(shape):
        for ring in (part.exterior, *part.interiors):
            path.addPolygon(QPolygonF([QPointF(x, y) for x, y in ring.coords]))
    return path


def main() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    folder = parser.parse_args().folder
    if not TILE.is_file():
        print(f"There is no {TILE}: these pictures stay as they are.")
        return
    _application = QApplication.instance() or QApplication([])
    with tempfile.TemporaryDirectory() as place:
        tile = place_tile(Path(place))
        print(draw_map(folder, tile))
        print(show_dock(folder, tile))


if __name__ == "__main__":
    main()
