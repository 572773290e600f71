"""What a person writes (TOML, forms, cards), frozen and checked at the door."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from ._spec import Spec
from .amounts import split_amounts
from .augmenting import AugmentSpec
from .channels import Channels
from .errors import SpecError
from .grids import GridSpec
from .networks import NetSpec, read_preset
from .normalizing import NormalizeSpec
from .region import Polygon
from .registry import path
from .target_spec import TargetSpec

if TYPE_CHECKING:
    from .model_card import ModelCard

__all__ = [
    "PLANNED", "AugmentSpec", "GridSpec", "NetSpec", "NormalizeSpec", "SegmentSpec", "Spec", "TargetSpec", "Task",
    "TilingSpec", "TrainSpec", "load_task",
]  # fmt: skip


class TilingSpec(Spec):
    """How the work is cut. Never changes the labels, only time and memory.

    Attributes
    ----------
    tile : int
        Edge of what one tile writes, in pixels of the network's grid; rounded up to its multiple. 0 chooses: 1024 in
        2D, 96 in 3D.
    batch : int
        Tiles that go through the network together.
    workers : int
        Threads; 0 takes one a core.
    """

    tile: int = Field(0, ge=0)
    batch: int = Field(1, ge=1)
    workers: int = Field(0, ge=0)


class Task(Spec):
    """A preset: one TOML file of ``tasks/``.

    Attributes
    ----------
    name, title, description : str
        What the user reads.
    noun : str
        What its labels are of, more than one.
    caution : str
        What the user must know before relying on it.
    model : str
        The model chosen first.
    net, target, normalize, tiling, augment : Spec
        Defaults for new models of this task.
    diameter : float
        Canonical object size on the network's grid, pixels.
    grid : GridSpec
        At what size images are seen.
    foreground, cooldown : float
        Of new models, see :class:`TrainSpec`.
    measures, metrics : tuple of str
        Entries of ``measures/`` and ``metrics/``.
    """

    name: str
    title: str
    description: str = ""
    noun: str = "objects"
    caution: str = ""
    model: str = ""
    net: NetSpec = NetSpec()
    target: TargetSpec = TargetSpec()
    normalize: NormalizeSpec = NormalizeSpec()
    tiling: TilingSpec = TilingSpec()
    augment: AugmentSpec = AugmentSpec()
    diameter: float = Field(24.0, gt=0)
    grid: GridSpec = GridSpec()
    foreground: float = Field(0.33, ge=0, le=1)
    cooldown: float = Field(0.5, ge=0, le=1)
    measures: tuple[str, ...] = ("objects",)
    metrics: tuple[str, ...] = ("matching",)


class SegmentSpec(Spec):
    """Settings of one segmentation; the same for the widget, the command line and Python.

    Attributes
    ----------
    model : str or tuple of str
        Name of a model or path of a model folder; the scores of several are averaged.
    diameter : float or None
        Typical width of the objects in pixels of the image; None measures it.
    channels : tuple of int or str, or None
        Numbers from 0 or names of bands, in the order the model expects; "none" is a missing band. None takes all.
    threshold : float or None
        Foreground score above which a pixel belongs to an object; None takes the model's.
    min_size : float, str or None
        Smallest object kept, in pixels (2D) or voxels (3D), or with a unit ("50 mm3"); of classes of pixels the
        smallest piece, all alike or class by class ("whole=1 ml, core=50 mm3"; in Python also a dict). None takes the
        model's rule. On a stack an area with a unit is that of outlines in planes, which are then joined.
    min_score : float or None
        How sure the model must be of the middle of an object, 0 to 1; None takes the model's rule.
    link_z : float
        For 2D models on stacks: outlines in neighboring planes are one object where at least this share of the smaller
        one lies within the larger, 0 to 1. 0 leaves planes apart: every plane has objects of its own.
    stack : {"auto", "planes", "volume", "sides"}
        For 2D models on stacks: "planes" outlines objects plane by plane and joins the outlines; "volume" scores plane
        by plane and finds objects in 3D; "sides" looks at the stack from three sides (planes of yx, zx and zy),
        averages the scores and finds objects in 3D. "auto" takes "sides" where planes are known to lie about as near
        as pixels, else "volume"; "planes" for models that cannot do so, or if `link_z` is given.
    average : {"none", "flips", "rotations"}
        Average the scores over mirrored views of the image (4 in 2D, 8 in 3D), or over mirrored and rotated ones (8 and
        16). Takes that many times as long.
    dropout_samples : int
        Average over this many networks with randomly silenced channels; only for models trained with dropout. 0: off.
    uncertainty : bool
        Also tell where the averaged answers differ: an image, and a value for each object.
    confidence : bool
        Also tell how sure the model is: an image of the score of what each pixel was taken for (of its class, or of
        being an object), and its mean inside of each object. Labels are then kept in memory.
    anomaly : bool
        Also tell what looks unlike the background: an image of how much speaks for any class, or for an object. It
        shows what was nearly found, too. Labels are then kept in memory.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    runtime : str
        What computes: ``"auto"``, ``"torch"``, ``"torch-compile"``, ``"openvino"`` or ``"openvino-int8"``. Each rounds
        in its own way, so labels may differ a little.
    region : tuple of polygons or None
        Look only inside these areas, in all planes: each is a tuple of vertices ``(y, x)`` in pixels, where centers of
        pixels are whole numbers. Intensities and object size are still those of the whole image. None: everywhere.
    background : float or None
        Skip what is darker than this and not near anything brighter: 0 is as dark as the background, 1 as bright as
        the brightest objects. Saves time where little is to be seen, but CAN CHANGE LABELS: faint objects are lost.
        None looks everywhere.
    unreadable : {"stop", "skip"}
        What to do where a part of the image file is damaged: stop with an error, or take that part for background and
        name it in the record of the run.
    tiling : TilingSpec
        How the work is cut; does not change the labels.
    """

    model: str | tuple[str, ...] = "nuclei"
    diameter: float | None = Field(None, gt=0)
    channels: Channels = None
    threshold: float | None = Field(None, gt=0, lt=1)
    min_size: float | str | None = None
    min_score: float | None = Field(None, ge=0, le=1)
    link_z: float = Field(0.7, ge=0, le=1)
    stack: Literal["auto", "planes", "volume", "sides"] = "auto"
    average: Literal["none", "flips", "rotations"] = "none"
    dropout_samples: int = Field(0, ge=0)
    uncertainty: bool = False
    confidence: bool = False
    anomaly: bool = False
    device: str = "auto"
    runtime: str = "auto"
    region: tuple[Polygon, ...] | None = None
    background: float | None = None
    unreadable: Literal["stop", "skip"] = "stop"
    tiling: TilingSpec = TilingSpec()

    @field_validator("model")
    @classmethod
    def _models_differ(cls, model: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(model, str):
            return model
        if not model or len(set(model)) < len(model):
            raise ValueError("name one model, or several that differ")
        return model[0] if len(model) == 1 else model

    @field_validator("min_size", mode="before")
    @classmethod
    def _sizes_can_be_read(cls, size: Any) -> Any:
        text = ", ".join(f"{name}={part}" for name, part in size.items()) if isinstance(size, dict) else size
        if isinstance(text, str):
            try:
                parts = split_amounts(text)
            except SpecError as error:
                raise ValueError(str(error)) from error  # with the name of the field
            return float(parts[""].replace(",", ".")) if re.fullmatch(r"[\d.,]+", parts.get("", "")) else text.strip()
        if isinstance(text, (int, float)) and text < 0:
            raise ValueError("a size is 0 or more")
        return text

    @field_validator("region")
    @classmethod
    def _areas_have_an_inside(cls, region: tuple[Polygon, ...] | None) -> tuple[Polygon, ...] | None:
        if region is not None and (not region or min(map(len, region)) < 3):
            raise ValueError("give the corners (y, x) of areas, three or more of each, or nothing to look everywhere")
        return region

    @model_validator(mode="after")
    def _answers_can_differ(self) -> Self:
        if self.uncertainty and len(self.models) == 1 and self.average == "none" and self.dropout_samples < 2:
            raise ValueError(
                "uncertainty needs several answers to compare: choose average 'flips' or 'rotations', dropout_samples "
                "of 2 or more, or several models"
            )
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models."""
        return (self.model,) if isinstance(self.model, str) else self.model


PLANNED: Final = ("patch", "batch", "rate")
"""Settings of a training that follow from images, machine or start unless they are given, be it at their default."""


class TrainSpec(Spec):
    """A training run.

    Attributes
    ----------
    task : str
        Preset that gives the defaults.
    name : str
        Name of the model to make.
    start : str
        Name or folder of a model to start from (fine-tuning); empty starts from random weights.
    network : str
        Name of a network preset; empty takes the task's network. A `net` given too comes before it.
    class_values : tuple of int
        Which value in the labels means each class; empty: 1, 2 and so on (255 in black and white masks of one class).
    ndim : {0, 2, 3}
        Dimensions that the network looks at: in 2 the planes of a stack are images. 0 follows the images.
    net, target, normalize, augment : Spec or None
        None takes the task's.
    diameter : float or None
        Canonical object size; None takes the task's.
    grid : GridSpec or None
        At what size images are seen; None takes the task's.
    zoom : float or None
        Where the task's grid is not one size of objects: how large images are seen, 0.5 half as large. None decides
        from the sizes of images and of what is labeled in them. Without meaning where a `grid` is given.
    truth : {"all", "regions", "scribbles"}
        What the labels of an example say that does not say it itself: everything, what lies in its drawn region, or
        only that what is labeled is labeled.
    validation : float
        Share of the groups of images that is held out of training; 0 holds out none but those the examples name.
    folds : int
        Train so many models first, each without a part of the images, to tell how good the last one is, which learns
        from all; 0: no cross-validation.
    corner : bool
        Where there is a single image, hold out that share of it: its lower right corner.
    loss : {"own", "cross-entropy", "border", "dice", "focal", "tversky"}
        How classes are compared with the truth; "own" is what the target asks for.
    balance : bool
        Let the rarer of object and background, or the rarer of several classes, weigh more in the loss.
    foreground : float
        Share of the patches that are laid on an object, as in nnU-Net (Isensee et al. 2021).
    steps : int
        Optimiser steps.
    batch, patch : int
        Patches a step and their edge in pixels, rounded up to what the network takes.
    depth : int
        Planes of a 3D patch; 0: as many as `patch`.
    rate : float
        Peak learning rate of Muon, and of AdamW for what is no kernel.
    warmup, cooldown : float
        Shares of the steps with a rising and a falling learning rate.
    weight_decay : float
        Of both, times the rate.
    average : float
        Decay of the exponential moving average of the weights.
    frozen : float
        Share of the training, from its beginning, in which the statistics of the normalizations stay as they are.
    seed : int
        Same seed, data and device: same weights.
    every : int
        Steps between checkpoints and progress reports.
    threads : int
        CPU threads; 0 leaves torch's own choice.
    minutes : float or None
        Time to train for, without pauses; the learning rate follows the share of it that has passed, and `steps`
        means nothing. None: `steps` is the length.
    patience : int
        Stop after so many reports without a better validation score; 0 never does.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    devices, nodes : int
        Processes on this machine, each with a device of its own, and machines. They share the patches of a step.
    accumulate : int
        Parts in which the patches of a step are computed, one after the other: less memory, nearly the same step.
        Means of normalizations and Dice sums are those of a part, as they are of a process with `devices`.
    license : str
        What may be done with the model; goes into its card.
    """

    task: str = "cell"
    name: str = "my-model"
    start: str = ""
    network: str = ""
    class_values: tuple[int, ...] = ()
    ndim: Literal[0, 2, 3] = 0
    net: NetSpec | None = None
    target: TargetSpec | None = None
    normalize: NormalizeSpec | None = None
    augment: AugmentSpec | None = None
    diameter: float | None = Field(None, gt=0)
    grid: GridSpec | None = None
    zoom: float | None = Field(None, gt=0, le=1)
    truth: Literal["all", "regions", "scribbles"] = "all"
    validation: float = Field(0.0, ge=0, le=0.9)
    folds: int = Field(0, ge=0, le=50)
    corner: bool = False
    loss: Literal["own", "cross-entropy", "border", "dice", "focal", "tversky"] = "own"
    balance: bool = False
    foreground: float = Field(0.33, ge=0, le=1)
    steps: int = Field(2000, ge=1)
    batch: int = Field(8, ge=1)
    patch: int = Field(256, ge=16)
    depth: int = Field(0, ge=0)
    rate: float = Field(2e-2, gt=0)
    warmup: float = Field(0.03, ge=0, le=1)
    cooldown: float = Field(0.5, ge=0, le=1)
    weight_decay: float = Field(1e-2, ge=0)
    average: float = Field(0.998, ge=0, lt=1)
    frozen: float = Field(0.0, ge=0, le=1)
    seed: int = 0
    every: int = Field(100, ge=1)
    threads: int = Field(0, ge=0)
    minutes: float | None = Field(None, gt=0)
    patience: int = Field(0, ge=0)
    device: str = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    accumulate: int = Field(1, ge=1)
    license: str = ""

    @field_validator("folds")
    @classmethod
    def _folds_are_several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("a single fold leaves nothing to learn from; give 2 or more, or 0 for none")
        return folds

    @field_validator("class_values")
    @classmethod
    def _values_differ(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values) or min(values, default=0) < 0:
            raise ValueError("give every class a value of its own, from 0 up")
        return values

    def filled(self, source: Task | ModelCard) -> TrainSpec:
        """Return the spec with everything that is left open taken from a task or from the model it starts from."""
        take = {n: getattr(source, n, None) for n in ("net", "target", "normalize", "augment", "diameter", "grid")}
        if self.network:
            preset = read_preset(self.network)
            take["net"] = preset.spec(preset.ndim or source.net.ndim, source.net.inputs, source.net.outputs)
        found = {n: v for n, v in take.items() if getattr(self, n) is None}
        if isinstance(source, Task):
            paces = {"foreground": source.foreground, "cooldown": source.cooldown}
            found |= {n: v for n, v in paces.items() if n not in self.model_fields_set}
        return self.model_copy(update=found)


def load_task(name: str) -> Task:
    """Read a preset.

    Parameters
    ----------
    name : str
        An entry of ``tasks/``.

    Returns
    -------
    Task
        The checked preset.

    Raises
    ------
    RegistryError
        If there is no such task.
    SpecError
        If its file holds something that is not a setting.
    """
    with path("tasks", name, ".toml").open("rb") as file:
        return Task.of(name=name, **tomllib.load(file))
