"""Pictures under File > Open Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet import workflows

__all__ = ["bacteria_movie", "immunohistochemistry", "nuclei_movie", "nuclei_movie_3d", "simulated_nuclei"]

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


def nuclei_movie() -> list[LayerData]:
    """Return a simulated movie of nuclei that divide, with its truth.

    Returns
    -------
    list of tuple
        Layers of the image, the true labels and the true tracks.
    """
    return _movie("nuclei-movie")


def nuclei_movie_3d() -> list[LayerData]:
    """Return a simulated movie of nuclei in a stack, with its truth.

    Returns
    -------
    list of tuple
        Layers of the image, the true labels and the true tracks.
    """
    return _movie("nuclei-movie-3d")


def bacteria_movie() -> list[LayerData]:
    """Return a simulated movie of bacteria in phase contrast, with its truth.

    Returns
    -------
    list of tuple
        Layers of the image, the true labels and the true tracks.
    """
    return _movie("bacteria-movie")


def _movie(name: str) -> list[LayerData]:
    image, labels, tracks = workflows.sample_movie(name)
    nodes, axes = tracks.nodes, tuple(image.axes)
    # Numbered by track, as the true tracks are: both together are a truth to compare with.
    truth = np.asarray(workflows.relabel(labels, tracks).data)
    points = np.stack([nodes["track"], *(nodes[axis] for axis in axes)], axis=1).astype(np.float64)
    return [
        (image.data, {"name": name, "axis_labels": axes}, "image"),
        (truth, {"name": f"{name} truth", "axis_labels": axes, "visible": False}, "labels"),
        (points, {"name": f"{name} true tracks", "graph": tracks.graph, "visible": False}, "tracks"),
    ]


def _layers(name: str) -> list[LayerData]:
    image, _truth = workflows.sample(name)
    color = image.axes.endswith("c")
    n = len(image.axes) - color
    options = {"name": name, "rgb": color, "scale": image.scale[:n], "units": image.units[:n]}
    return [(image.data, {**options, "axis_labels": tuple(image.axes[:n])}, "image")]
