"""Pictures under File > Open Sample."""

from __future__ import annotations

from typing import Any

from napari_unet import workflows

__all__ = ["immunohistochemistry", "simulated_nuclei"]

LayerData = tuple[Any, dict[str, Any], str]


def simulated_nuclei() -> list[LayerData]:
    """Return a simulated field of nuclei.

    Returns
    -------
    list of tuple
        One image layer as napari takes it: data, options, type.
    """
    return _layers("simulated-nuclei")


def immunohistochemistry() -> list[LayerData]:
    """Return the nuclear stain of a section of tissue.

    Returns
    -------
    list of tuple
        One image layer as napari takes it: data, options, type.
    """
    return _layers("immunohistochemistry")


def _layers(name: str) -> list[LayerData]:
    image, _truth = workflows.sample(name)
    color = image.axes.endswith("c")
    n = len(image.axes) - color
    options = {"name": name, "rgb": color, "scale": image.scale[:n], "units": image.units[:n]}
    return [(image.data, {**options, "axis_labels": tuple(image.axes[:n])}, "image")]
