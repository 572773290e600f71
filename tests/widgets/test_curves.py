"""Curves of a training whose window is closed meanwhile."""

from __future__ import annotations

from napari_unet.core.results import Epoch


def test_a_window_may_go_while_its_curves_are_made(qtbot, monkeypatch):
    import pyqtgraph

    from napari_unet.widgets._curves import Curves

    curves, asked = Curves(), []
    qtbot.addWidget(curves)

    def collected(**more):
        asked.append(more)
        raise RuntimeError("wrapped C/C++ object of type Curves has been deleted")

    monkeypatch.setattr(pyqtgraph, "PlotWidget", collected)
    curves.add([Epoch(1, 0.5, 1e-3, 3.0)])
    qtbot.waitUntil(lambda: bool(asked), timeout=5000)
    qtbot.wait(100)  # an exception in the event loop fails the test
    assert len(asked) == 1
    assert curves._plots == []
