"""A training run from files to a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core.axes import Plane
from ..core.errors import TrainingDataError
from ..core.model_card import ModelCard
from ..core.specs import NetSpec, TrainSpec
from ..core.steps import Steps
from ..io.images import read_image
from ..io.labels import read_labels
from ..io.pairs import find_pairs
from ..models.cards import user_folder
from ..models.model import choose_device
from ..models.store import write_model
from ..targets import target
from ..tiling.statistics import measure_statistics, normalise
from .fit import fit
from .patches import Pair, make_pair

__all__ = ["load_pair", "make_card", "train_model"]


def train_model(data: Path, spec: TrainSpec, folder: Path | None = None) -> Steps[Path]:
    """Train on the pairs that `data` names and store the model.

    Parameters
    ----------
    data : Path
        See :func:`napari_unet.io.pairs.find_pairs`.
    spec : TrainSpec
        With everything filled in.
    folder : Path, optional
        Model folder to make; by default in the user's model folder. Checkpoints lie in ``<folder>.training``.

    Returns
    -------
    Path
        The model folder.

    Yields
    ------
    Progress
        See :func:`napari_unet.training.fit.fit`.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together.
    SpecError
        If the name or another setting is none that a model can have.
    """
    spec = spec.model_copy(update={"net": fitted_net(spec)})
    folder = folder or user_folder() / spec.name
    found = find_pairs(data)
    # Before the first step: a name that no model can have must not be found out at the end.
    card = make_card(spec, f"{len(found)} annotated images")
    pairs = [load_pair(image, labels, spec, weight) for image, labels, weight in found]
    checkpoints = folder.with_name(f"{folder.name}.training")
    network = yield from fit(pairs, spec, checkpoints, choose_device())
    write_model(folder, card, network)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return folder


def fitted_net(spec: TrainSpec) -> NetSpec:
    """Return the network with the outputs that its target and the object size need."""
    if spec.net is None or spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    return spec.net.model_copy(update={"outputs": len(target(spec.target.name).CHANNELS) + 1})


def load_pair(image_file: Path, labels_file: Path, spec: TrainSpec, weight: float = 1.0) -> Pair:
    """Read and normalise an annotated image.

    Parameters
    ----------
    image_file, labels_file : Path
        Files of one plane (2D networks) or one volume (3D networks).
    spec : TrainSpec
        Gives the normalisation and the number of channels.
    weight : float
        How often it is drawn.

    Returns
    -------
    Pair
        Ready for training.

    Raises
    ------
    TrainingDataError
        If the image is a stack or has other channels than the network.
    """
    image, labels = read_image(image_file), read_labels(labels_file)
    if spec.net is None or spec.normalise is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    planes = image.planes(spec.net.ndim)
    if len(planes) != 1 or image.channels not in (1, spec.net.inputs):
        raise TrainingDataError(
            f"'{image_file}' has axes {image.axes} and shape {image.shape}; training needs single "
            f"{spec.net.ndim}D images with 1 or {spec.net.inputs} channels. Save planes as files of their own."
        )
    statistics = measure_statistics(planes, spec.normalise)
    drawn = labels.planes(spec.net.ndim)
    if len(drawn) != 1:
        raise TrainingDataError(
            f"'{labels_file}' has axes {labels.axes} and shape {labels.shape}; training needs the labels of a single "
            f"{spec.net.ndim}D image. Save planes as files of their own."
        )
    return make_pair(normalise(_whole(planes[0]), statistics), _whole(drawn[0])[0], image_file.name, weight)


def _whole(plane: Plane) -> npt.NDArray[Any]:
    return plane.read(tuple(slice(0, n) for n in plane.shape))


def make_card(spec: TrainSpec, data: str) -> ModelCard:
    """Describe the model that a finished run has made."""
    if spec.target is None or spec.normalise is None or spec.diameter is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    net = fitted_net(spec)
    return ModelCard.of(
        name=spec.name,
        title=spec.name,
        task=spec.task,
        net=net,
        target=spec.target,
        normalise=spec.normalise,
        channels=tuple(sorted({1, net.inputs})),
        diameter=spec.diameter,
        data=data,
        recipe=f"{spec.steps} steps of {spec.batch} patches of {spec.patch} pixels, AdamW, rate {spec.rate}",
        seed=spec.seed,
    )
