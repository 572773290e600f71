"""Objects within objects in the measuring dock."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet.widgets.measure import MeasureWidget


def test_foci_are_counted_and_know_their_nucleus(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[str] = []
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", errors.append)
    viewer, nuclei, foci = ViewerModel(), np.zeros((30, 40), np.int32), np.zeros((30, 40), np.int32)
    nuclei[5:15, 5:15], nuclei[5:15, 20:30] = 2, 5
    foci[6:8, 6:8], foci[10:12, 10:12], foci[20:22, 20:22] = 1, 2, 3
    viewer.add_labels(foci, name="DNA foci", scale=(0.5, 0.5))
    viewer.add_labels(nuclei, name="nuclei", scale=(0.5, 0.5))
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    rows = widget.inside

    def choose(labels: str, inside: str, within: str) -> None:
        for box, name in ((widget.labels, labels), (rows.counted, inside), (rows.places, within)):
            box.setCurrentText(name)
        widget.run()
        qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)

    choose("nuclei", "DNA foci", "nothing")
    found = viewer.layers["nuclei"].features
    assert [*found["DNA_foci_count"]] == [2, 0]
    assert [*found["DNA_foci_area"]] == [2.0, 0.0]
    assert "in_nuclei" not in found
    choose("DNA foci", "nothing", "nuclei")
    found = viewer.layers["DNA foci"].features
    assert [*found["in_nuclei"]] == [2, 2, 0]
    assert [*found["in_nuclei_share"]] == [1, 1, 0]
    assert not errors
    choose("nuclei", "nuclei", "nothing")
    assert "names the layer that is measured" in widget.status.text()
    widget.what.setCurrentText("lesions")
    assert widget.related.isHidden()


def test_a_layer_that_does_not_say_its_axes_has_those_of_the_labels(qtbot: QtBot) -> None:
    viewer, nuclei = ViewerModel(), np.zeros((3, 20, 30), np.int32)
    nuclei[:, 5:15, 5:15] = 4
    foci = (nuclei > 0) * np.arange(3)[:, None, None]
    viewer.add_labels(foci, name="foci")
    viewer.add_labels(nuclei, name="nuclei", axis_labels=("t", "y", "x"))
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    for box, name in ((widget.labels, "nuclei"), (widget.inside.counted, "foci"), (widget.inside.places, "foci")):
        box.setCurrentText(name)
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    found = viewer.layers["nuclei"].features
    assert [*found["foci_count"]] == [0, 1, 1]
    assert [*found["in_foci"]] == [0, 1, 2]


def test_regions_drawn_once_count_for_the_whole_movie(qtbot: QtBot) -> None:
    viewer, cells = ViewerModel(), np.zeros((3, 20, 30), np.int32)
    for t in range(3):
        cells[t, 5:15, 5 * t : 5 * t + 8] = 4
    place = np.zeros((20, 30), np.int32)
    place[:, 12:] = 2
    viewer.add_labels(cells, name="cells", axis_labels=("t", "y", "x"))
    viewer.add_labels(place, name="place")
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    widget.labels.setCurrentText("cells")
    widget.inside.places.setCurrentText("place")
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    found = viewer.layers["cells"].features
    assert [*found["in_place"]] == [0, 2, 2]
    assert [*found["in_place_share"]] == [0, 1 / 8, 6 / 8]


def test_a_layer_without_axes_has_those_that_the_other_names(qtbot: QtBot) -> None:
    viewer, cells = ViewerModel(), np.zeros((3, 20, 30), np.int32)
    cells[:, 5:15, 5:15] = 4
    viewer.add_labels(cells, name="cells")
    viewer.add_labels(cells, name="named", axis_labels=("t", "y", "x"))
    widget = MeasureWidget(viewer)
    qtbot.addWidget(widget)
    widget.labels.setCurrentText("cells")
    widget.inside.places.setCurrentText("named")
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    found = viewer.layers["cells"].features
    assert [*found["t"]] == [0, 1, 2]
    assert [*found["in_named"]] == [4, 4, 4]
