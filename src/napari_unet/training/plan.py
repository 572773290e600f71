"""What a training will do, decided from its data before the first step.

The method is that of nnU-Net (Isensee et al. 2021): a fingerprint of the data (sizes, spacing, intensities) and the
memory of the machine decide what is not decided by the user. What differs: images are brought to one size of objects
instead of one spacing, and intensities to percentiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..core.axes import Image
from ..core.bands import are_colors, band_names
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.networks import NetSpec, read_preset
from ..core.results import Plan
from ..core.specs import NormalizeSpec, TargetSpec, Task, TrainSpec, load_task
from ..core.steps import Progress, Steps
from ..io.dataset import read_dataset
from ..io.pairs import as_examples
from ..models.cards import find_model, read_card
from ..models.devices import choose_device
from ..targets import count_frames
from .data import Loader
from .fingerprint import Fingerprint, fingerprint
from .frames import pair_frames
from .gentle import gentle, gentle_words
from .holdout import Split, check_leaks, hold_out
from .intensities import is_ct, measure_ct, measure_fixed
from .meanings import NOTHING, check_drawn, counted, marked, valued
from .odd import VOLUME, find_flat, find_other_units
from .pairs import Pair
from .stored import Shelf

__all__ = ["Prepared", "fill_in", "framed", "prepare"]

_LOOKED_AT: Final = 16  # examples whose axes decide what kind of network it is
_MOST_WARNINGS: Final = 20
_BLIND: Final = (
    "No held-out image has a labeled object, so the model cannot be judged by them. Hold out an image that has some."
)
_TIRELESS: Final = (
    "The training is to stop early (patience), but no image is held out, so nobody can tell when it becomes no better: "
    "it goes on to its end. Hold some images out, such as a fifth (--validation 0.2)."
)


@dataclass(frozen=True)
class Prepared:
    """All that a training begins with.

    Attributes
    ----------
    plan : Plan
        Settings, and why.
    pairs : list of Pair
        Images to learn from.
    learned, held_out : list of Example
        The examples behind them, and those to judge by.
    withheld : list of Example
        The latter as they were given.
    """

    plan: Plan
    pairs: list[Pair]
    learned: list[Example]
    held_out: list[Example]
    withheld: list[Example]
    held: list[Pair] = field(default_factory=list)


def prepare(data: Path | Sequence[Example], spec: TrainSpec) -> Steps[Prepared]:
    """Read annotated images, find what is wrong with them, and decide what the user has left open.

    Parameters
    ----------
    data : Path or sequence of Example
        See :func:`~napari_unet.io.pairs.find_examples`.
    spec : TrainSpec
        What was set by name stays; what was not follows from the data, the task and the model it starts from.

    Returns
    -------
    Prepared
        Ready to be learned from.

    Yields
    ------
    Progress
        One an example.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together, or nothing can be learned from them.
    """
    spec = name_classes(spec, data)
    examples = as_examples(data)
    if not examples:
        raise TrainingDataError("There is nothing to learn from. Choose at least one image and its labels.")
    examples = framed(examples, spec)
    split = hold_out(examples, spec)
    yield Progress(0, 0, "Looking at the images")
    filled = fill_in(spec, examples)
    check_drawn(filled, examples)
    learned, kept = valued(filled, split.learned), valued(filled, split.held_out)
    loader = Loader((yield from _measured(filled, spec, learned)), _known(spec))
    pairs: list[Pair] = []
    held: list[Pair] = []
    total = len(learned) + len(kept)
    for done, example in enumerate([*learned, *kept]):
        yield Progress(done, total, f"Reading {example.name}")
        judged = done >= len(learned)
        (held if judged else pairs).extend(loader.load(example, judged))
    check_leaks(pairs, held)
    if not any(len(pair.spots) for pair in pairs):
        raise TrainingDataError(NOTHING)
    facts = fingerprint(pairs)
    planned = _planned(spec, loader.spec, facts)
    blind = bool(held) and not any(len(pair.spots) for pair in held)
    odd = [*_flat(spec, filled, examples), *find_other_units(pairs, planned.normalize)]
    unjudged = [_BLIND] * blind + [_TIRELESS] * (spec.patience > 0 and not held)
    warnings = [*split.warnings, *unjudged, *odd, *loader.warnings, *facts.doubts(planned)]
    if len(warnings) > _MOST_WARNINGS:
        warnings = [*warnings[:_MOST_WARNINGS], f"And {len(warnings) - _MOST_WARNINGS} more remarks of this kind."]
    plan = Plan(planned, _words(planned, facts, split), tuple(warnings), facts.counts(examples, split.held_out))
    return Prepared(plan, pairs, learned, kept, split.held_out, held)


def framed(examples: Sequence[Example], spec: TrainSpec) -> list[Example]:
    """Show two frames of movies at once where motion is to be learned; other examples stay as they are.

    Parameters
    ----------
    examples : sequence of Example
        What is learned from.
    spec : TrainSpec
        Says what is learned.

    Returns
    -------
    list of Example
        In the same order.

    Raises
    ------
    TrainingDataError
        If they are no movies with tracks.
    """
    start = read_card(find_model(spec.start)).target if spec.start else load_task(spec.task).target
    if count_frames(spec.target or start) == 1:
        return list(examples)
    return [pair_frames(example) for example in examples]


def name_classes(spec: TrainSpec, data: Path | Sequence[Example]) -> TrainSpec:
    """Call classes that are to be counted in the labels as the data say, where nobody has named them.

    Parameters
    ----------
    spec : TrainSpec
        As it was given.
    data : Path or sequence of Example
        A folder may have a ``dataset.json``, see :func:`~napari_unet.io.dataset.read_dataset`.

    Returns
    -------
    TrainSpec
        The same if there are no names to be had or wanted.

    Raises
    ------
    TrainingDataError
        If the file cannot be used.
    """
    usual = load_task(spec.task).target
    given = spec.start or spec.target is not None or spec.class_values or (usual.name == "classes" and usual.classes)
    if given or not isinstance(data, Path):
        return spec
    classes = read_dataset(data).classes
    if len(classes) < (1 if usual.name == "classes" else 2):
        return spec
    if usual.name != "classes":  # objects of one kind are learned, but several kinds are named
        usual = usual.model_copy(update={"name": "classes"})
    target = TargetSpec.of(**usual.model_dump() | {"classes": tuple(name for _, name in classes)})
    return spec.model_copy(update={"target": target, "class_values": tuple(number for number, _ in classes)})


def fill_in(spec: TrainSpec, examples: Sequence[Example]) -> TrainSpec:
    """Fill in the network and what else reading the images needs.

    Parameters
    ----------
    spec : TrainSpec
        As it was given.
    examples : sequence of Example
        What is learned from; the first ones are looked at.

    Returns
    -------
    TrainSpec
        With network, target and classes.

    Raises
    ------
    TrainingDataError
        If classes are to be counted and the labels are not numbers of classes.
    """
    task = load_task(spec.task)
    shelf = Shelf()
    looks = [shelf.image(example) for example in examples[:_LOOKED_AT]]
    channels = {image.channels for image in looks}
    colors = are_colors(max(channels), [name for image in looks for name in band_names(image)])
    if spec.start:
        card = read_card(find_model(spec.start))
        return _apart(spec, task, colors and are_colors(card.net.inputs, card.bands)).filled(card).filled(task)
    spec = _apart(spec, task, colors)
    chosen: dict[str, Any] = {}
    if spec.net is None:
        chosen["net"] = _net(spec, task.net, looks, channels)
    if spec.normalize is None and not colors:
        chosen["normalize"] = NormalizeSpec(**task.normalize.model_dump() | {"joint": False})
    sparse = all(example.scribbles for example in marked(spec, examples))
    if spec.target is None and sparse:
        # Nothing else can be learned from them.
        chosen["target"] = TargetSpec(name="foreground") if task.target.name != "classes" else task.target
    wanted = chosen.get("target") or spec.target or task.target
    if wanted.name == "classes" and not wanted.classes and spec.class_values:
        names = tuple(f"class {value}" for value in spec.class_values)
        chosen["target"] = wanted.model_copy(update={"classes": names})
    elif wanted.name == "classes" and not wanted.classes:
        chosen["target"] = wanted.model_copy(update={"classes": counted(shelf, marked(spec, examples))})
    return spec.model_copy(update=chosen).filled(task)


def _apart(spec: TrainSpec, task: Task, colors: bool) -> TrainSpec:
    """Never mix or exchange channels that are no colors: which one shows nuclei must be learned, not unlearned."""
    said = spec.augment.model_fields_set if spec.augment else ()
    unsaid = {name: 0.0 for name in ("gray", "shuffle") if name not in said}
    if colors or not unsaid:
        return spec
    return spec.model_copy(update={"augment": (spec.augment or task.augment).model_copy(update=unsaid)})


def _known(spec: TrainSpec) -> tuple[str, tuple[str, ...]]:
    """Return which model is started from, and what it calls its channels."""
    return (f"the model '{spec.start}'", read_card(find_model(spec.start)).bands) if spec.start else ("", ())


def _measured(spec: TrainSpec, given: TrainSpec, examples: Sequence[Example]) -> Steps[TrainSpec]:
    """Fill in the intensities that mean the same in all images: those of CT, and what is left open by name."""
    rule = spec.normalize
    if rule is None or given.start:
        return spec
    shelf = Shelf()
    medical = given.normalize is None and rule.kind == "mean_std"
    if medical and all(is_ct(shelf.image(each), each.modality) for each in examples[:_LOOKED_AT]):
        found = yield from measure_ct(examples, spec)
    elif rule.open:
        found = yield from measure_fixed(examples, spec)
    else:
        return spec
    return spec.model_copy(update={"normalize": found})


def _flat(given: TrainSpec, filled: TrainSpec, examples: Sequence[Example]) -> Iterator[str]:
    """Say which stack makes planes of all, where nobody has chosen that."""
    chosen = given.ndim or given.network or given.net or given.start
    if not chosen and filled.net and filled.net.ndim == 2:
        shelf = Shelf()
        yield from find_flat([shelf.image(example) for example in examples[:_LOOKED_AT]])


def _net(spec: TrainSpec, usual: NetSpec, looks: Sequence[Image], channels: set[int]) -> NetSpec:
    """Choose between planes and volumes, and the channels."""
    deep = all("z" in image.axes and image.shape[image.axes.index("z")] >= VOLUME for image in looks)
    preset = read_preset(spec.network) if spec.network else None
    ndim = spec.ndim or (preset.ndim if preset else 0) or (3 if deep else 2)
    inputs = usual.inputs if channels <= {1, usual.inputs} and ndim == usual.ndim else max(channels)
    if preset is None and ndim == usual.ndim:
        return usual.model_copy(update={"inputs": inputs})
    if preset is not None:
        return preset.spec(ndim, inputs, usual.outputs)
    net = read_preset("unet").spec(ndim, inputs, usual.outputs)
    return net.model_copy(update={"deep_supervision": usual.deep_supervision})


def _planned(given: TrainSpec, filled: TrainSpec, facts: Fingerprint) -> TrainSpec:
    """Decide what was not set by name."""
    free = {"diameter", "patch", "depth", "batch"} - given.model_fields_set
    chosen: dict[str, Any] = {}
    processor = choose_device(filled.device, filled.net.ndim if filled.net else 2) == "cpu"
    if "diameter" in free and not given.start:
        chosen["diameter"] = facts.diameter_for(filled)
    if filled.grid is not None:
        zoom = given.zoom if given.grid is None and not given.start else 1.0
        covered = filled.target is not None and not filled.target.background
        chosen["grid"] = facts.grid_for(filled.grid, zoom, processor, covered)
        facts = facts.seen(chosen["grid"])
    spec = filled.model_copy(update=chosen)
    if spec.net is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    own = not (given.start or given.net or given.network)
    chosen = {name: value for name, value in facts.patch_for(spec, processor).items() if name in free}
    spec = spec.model_copy(update=chosen)
    if own and spec.net and spec.net.ndim == 3 and facts.flat:
        spec = spec.model_copy(update={"net": facts.strides_for(spec.net)})
    if "batch" in free:
        parts = spec.devices * spec.nodes * spec.accumulate
        hurried = spec.minutes is not None and processor
        spec = spec.model_copy(update={"batch": max(1, facts.batch_for(spec, hurried) // parts) * parts})
    return spec.model_copy(update=gentle(given, spec, read_card(find_model(given.start)))) if given.start else spec


def _words(spec: TrainSpec, facts: Fingerprint, split: Split) -> tuple[str, ...]:
    """Say the plan in sentences."""
    said = facts.seen(spec.grid).choices(spec)
    return tuple(filter(None, (facts.said(), split.words, *said, gentle_words(spec))))
