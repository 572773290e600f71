"""The diameters of lesions as lines over their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.results import Table

from ._layers import KEY, placement

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes
    from napari.viewer import Viewer

__all__ = ["draw_diameters", "middle_of"]

_COLORS: Final = {"longest": "#00E5FF", "short": "#FF5CF4"}  # as in reports
_WIDTH: Final = 0.6  # pixels
_THIN: Final = 0.25  # in 3D
_LIFT: Final = 3.0  # pixels
_MOST: Final = 300  # lesions
_OF: Final = "napari-unet diameters of"  # in the layer's metadata
_LETTERS: Final = {"millimeter": "mm", "micrometer": "µm", "centimeter": "cm", "pixel": "px"}


def draw_diameters(viewer: Viewer, layer: Layer, axes: str, table: Table) -> Shapes | None:
    """Add a layer of lines, each in the plane that it was measured in; one that was drawn before is replaced.

    Of many lesions those with the longest diameters are drawn: napari takes long over thousands of shapes.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    layer : napari.layers.Labels
        The lesions.
    axes : str
        Of its data.
    table : dict of ndarray
        Of the measure ``lesions``.

    Returns
    -------
    napari.layers.Shapes or None
        The layer; None if there is no lesion.
    """
    for old in [y for y in viewer.layers if y.metadata.get(_OF) is layer]:
        viewer.layers.remove(old)
    if not len(table["index"]):
        return None
    longest = np.argsort(-np.asarray(table["longest_diameter"], np.float64), kind="stable")[:_MOST]
    table = {name: column[np.sort(longest)] for name, column in table.items()}
    unit = str(layer.units[axes.index("y")])
    lines = [_ends(table, name, layer, axes) for name in _COLORS]
    lengths = [table[f"{name}_diameter"] for name in _COLORS]
    count = len(table["index"])
    both = [f"{long:.1f} × {short:.1f} {_LETTERS.get(unit, unit)}" for long, short in zip(*lengths, strict=True)]
    features = {
        "index": np.tile(table["index"], 2), "line": np.repeat(list(_COLORS), count), "length": np.concatenate(lengths),
        "words": np.array([*both, *[""] * count]),  # one line of text, so that no two lie over each other
    }  # fmt: skip
    active = viewer.layers.selection.active
    shown = viewer.add_shapes(
        list(np.concatenate(lines)), shape_type="line", name=f"{layer.name} diameters", features=features,
        edge_color=np.repeat(list(_COLORS.values()), count).tolist(), edge_width=_WIDTH,
        text={"string": "{words}", "size": 10, "color": "white", "anchor": "upper_left", "translation": _above(axes)},
        opacity=1.0,
        # Lines inside of lesions are seen in 3D too.
        blending="translucent_no_depth", metadata={KEY: {"axes": axes}, _OF: layer},
        **placement(layer, axes),
    )  # fmt: skip
    shown.editable = False
    viewer.layers.selection.active = active
    _suit_display(viewer, shown)
    return shown


def _suit_display(viewer: Viewer, shown: Shapes) -> None:
    """Draw thin lines without words in 3D: there they are ribbons, and lesions hide parts of the words."""

    def look(event: Any = None) -> None:
        if shown not in viewer.layers:
            viewer.dims.events.ndisplay.disconnect(look)
            return
        flat = viewer.dims.ndisplay == 2
        shown.text.visible = flat
        shown.edge_width = [_WIDTH if flat else _THIN] * len(shown.data)

    viewer.dims.events.ndisplay.connect(look)
    look()


def _above(axes: str) -> list[float]:
    """Return how far text stands above a line, in pixels."""
    return [-_LIFT if axis == "y" else 0.0 for axis in axes if axis != "c"]


def middle_of(table: Table, row: int, layer: Layer, axes: str) -> npt.NDArray[np.float64]:
    """Return the middle of a lesion's longest diameter, in the coordinates of the layer's data."""
    one = {name: column[row : row + 1] for name, column in table.items()}
    ends = _ends(one, "longest", layer, axes)[0].mean(axis=0)
    return np.concatenate([np.zeros(len(layer.scale) - len(ends)), ends])


def _ends(table: dict[str, Any], name: str, layer: Layer, axes: str) -> npt.NDArray[np.float64]:
    """Return both ends of a line of every lesion, shape (lesions, 2, d), in pixels."""
    held: dict[str, Any] = {"z": table.get("slice", 0), "t": table.get("t", 0), "c": 0}
    found = np.zeros((len(table["index"]), 2, len(axes)))
    for k, axis in enumerate(axes):
        for end in (0, 1):
            known = axis in "yx"
            step = abs(float(layer.scale[k]))
            found[:, end, k] = table[f"{name}_{axis}{end}"] / step if known else held[axis]
    return found[..., 1:] if axes[0] == "c" else found
