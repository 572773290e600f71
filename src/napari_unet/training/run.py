"""A training run from files to a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core.axes import Image, Plane
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.model_card import ModelCard
from ..core.specs import NetSpec, TrainSpec
from ..core.steps import Steps
from ..io.images import read_image
from ..io.labels import read_labels
from ..io.pairs import find_pairs
from ..models.cards import user_folder
from ..targets import target
from ..tiling.statistics import measure_statistics, normalise
from .patches import Pair, make_pair
from .runs import Order
from .whole import Material, train_whole
from .wishes import Wishes

__all__ = ["load_pair", "make_card", "train_model"]


def train_model(
    data: Path | Sequence[Example],
    spec: TrainSpec,
    folder: Path | None = None,
    watched: Image | None = None,
    wishes: Wishes | None = None,
) -> Steps[Path]:
    """Train on the pairs that `data` names and store the model.

    Parameters
    ----------
    data : Path or sequence of Example
        See :func:`napari_unet.io.pairs.find_pairs`.
    spec : TrainSpec
        With everything filled in.
    folder : Path, optional
        Model folder to make; by default in the user's model folder. Checkpoints lie in ``<folder>.training``.
    watched : Image, optional
        A picture that is segmented now and then, for the user to look at.
    wishes : Wishes, optional
        Of the user while it runs: stop, pause.

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
    given, spec = spec, spec.model_copy(update={"net": fitted_net(spec)})
    folder = folder or user_folder() / spec.name
    found = _examples(data)
    # Before the first step: a name that no model can have must not be found out at the end.
    card = make_card(spec, f"{len(found)} annotated images")
    held_out, learned = ([each for each in found if bool(each.held_out) is held] for held in (True, False))
    pairs = [load_pair(each.image, each.labels, spec, each.weight) for each in learned]
    order = Order(data.resolve() if isinstance(data, Path) else data, given, folder, watched)
    return (yield from train_whole(Material(order, spec, card, pairs, learned, held_out), wishes))


def _examples(data: Path | Sequence[Example]) -> list[Example]:
    if not isinstance(data, Path):
        return list(data)
    return [Example(image, labels, weight=weight) for image, labels, weight in find_pairs(data)]


def fitted_net(spec: TrainSpec) -> NetSpec:
    """Return the network with the outputs that its target and the object size need."""
    if spec.net is None or spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    return spec.net.model_copy(update={"outputs": len(target(spec.target.name).CHANNELS) + 1})


def load_pair(image_file: Image | Path, labels_file: Image | Path, spec: TrainSpec, weight: float = 1.0) -> Pair:
    """Read and normalise an annotated image.

    Parameters
    ----------
    image_file, labels_file : Image or Path
        Layers or files of one plane (2D networks) or one volume (3D networks).
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
    image = image_file if isinstance(image_file, Image) else read_image(image_file)
    labels = labels_file if isinstance(labels_file, Image) else read_labels(labels_file)
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
    length = f"{spec.steps} steps" if spec.minutes is None else f"{spec.minutes:g} minutes"
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
        licence=spec.licence,
        recipe=f"{length} of {spec.batch} patches of {spec.patch} pixels, AdamW, rate {spec.rate}",
        seed=spec.seed,
    )
