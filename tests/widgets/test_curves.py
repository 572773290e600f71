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


def test_curves_are_named_in_their_colors_above_them(qtbot):
    from napari_unet.widgets._curves import Curves

    curves = Curves()
    qtbot.addWidget(curves)
    curves.add(
        [Epoch(1, 0.5, 1e-3, 3.0, {"loss": 0.6, "mAP": 0.1}), Epoch(2, 0.4, 1e-3, 6.0, {"loss": 0.5, "mAP": 0.2})]
    )
    qtbot.waitUntil(
        lambda: len(curves._plots) == 2 and "mAP" in curves._plots[1].plotItem.titleLabel.text, timeout=5000
    )
    told = curves._plots[0].plotItem.titleLabel.text
    assert told.index("● loss") < told.index("● validation loss")
    assert len({curves._lines[name].opts["pen"]["color"] for name in ("loss", "validation loss")}) == 2
