"""Take the pictures of the manual's pages on tracking: tracks, corrections with doubts and lineages, and scores.

Run it as ``python scripts/track_pictures.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import napari
import numpy as np
from window import capture, open_viewer, placed, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.core.results import Tracks
from napari_unet.widgets.correct import CorrectWidget
from napari_unet.widgets.lineage import LineageWidget
from napari_unet.widgets.score import ScoreWidget
from napari_unet.widgets.track import TrackWidget


def show_tracks(folder: Path) -> list[Path]:
    """Write the pictures of tracking: a movie and its tracks, corrections with doubts and the tree of lineages, scores.

    Parameters
    ----------
    folder : Path
        Where they go.

    Returns
    -------
    list of Path
        The files.
    """
    prepare(folder)
    paths = [folder / "track.png", folder / "lineage.png", folder / "scores.png"]
    image, truth, lineages = workflows.sample_movie("nuclei-movie", frames=24)
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home  # corrections are written down
        viewer = open_viewer()
        place = placed(image)
        light = viewer.add_image(np.asarray(image.data), name="nuclei", **place)
        light.contrast_limits = tuple(float(v) for v in np.percentile(light.data, (1, 99.5)))
        viewer.add_labels(np.asarray(truth.data), name="cells", **place)
        widget = TrackWidget(viewer)
        dock = viewer.window.add_dock_widget(widget, name="Track cells and nuclei", area="right")
        settle(1.0)
        viewer.reset_view()
        widget.run()
        wait_for(lambda: widget.job is None)
        viewer.layers["cells"].visible = False
        viewer.dims.set_current_step(0, 16)
        settle(2.0)
        capture(viewer, paths[0])
        viewer.window.remove_dock_widget(dock)
        widget.hide()
        tree = LineageWidget(viewer)
        tree.setFixedHeight(250)
        viewer.window.add_dock_widget(tree, name="Lineage tree", area="bottom")
        correct = CorrectWidget(viewer)
        viewer.window.add_dock_widget(correct, name="Correct tracks", area="right")
        settle(1.0)
        viewer.reset_view()
        correct.run()
        wait_for(lambda: correct.job is None)
        camera = getattr(viewer, "scene", viewer).camera
        camera.zoom *= 1.6
        correct.go_on()
        settle(2.0)
        capture(viewer, paths[1])
        viewer.window.remove_dock_widget(tree)
        viewer.window.remove_dock_widget(correct)
        show_scores(viewer, lineages, paths[2])
        viewer.close()
        settle(0.2)
    return paths


def show_scores(viewer: napari.Viewer, lineages: Tracks, path: Path) -> None:
    """Write the picture of scores and errors.

    Parameters
    ----------
    viewer : napari.Viewer
        Has tracks, and the true labels.
    lineages : Tracks
        The true ones.
    path : Path
        The picture.
    """
    nodes = lineages.nodes
    masks = workflows.relabel(np.asarray(viewer.layers["cells"].data), lineages)
    like = viewer.layers["cells"]
    place = {"scale": like.scale, "units": like.units, "axis_labels": like.axis_labels}
    true = viewer.add_labels(np.asarray(masks.data), name="true cells", visible=False, **place)
    rows = np.stack([nodes[name].astype(np.float64) for name in ("track", "t", "y", "x")], axis=1)
    layer = viewer.add_tracks(rows, graph=lineages.graph, name="true tracks", visible=False)
    widget = ScoreWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Score tracks", area="right")
    widget.tracks.choose(viewer.layers["cells tracks"])
    widget.truth.choose(true)
    widget.lineages.choose(layer)
    settle(1.0)
    viewer.reset_view()
    widget.run()
    wait_for(lambda: widget.job is None)
    widget.errors.setCurrentRow(4)
    settle(2.0)
    capture(viewer, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    show_tracks(parser.parse_args().folder)
