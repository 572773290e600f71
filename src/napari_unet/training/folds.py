"""Cross-validation: a model for each fold of patients or images, their scores together, and then the model itself.

What follows from the scores is only whether small pieces are left out: of a class of which only the largest piece is
kept, if that is better in all folds together (Isensee et al. 2021), and never of tumors, of which there may be several.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.amounts import LARGEST
from ..core.errors import SpecError, TrainingDataError
from ..core.examples import Example
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps
from ..io.atomic import write_text
from ..io.pairs import as_examples
from ..models.cards import FOLDS_ENDING, find_card, read_card, user_folder
from ..models.devices import choose_device
from ..models.model import Model
from ..models.store import read_network
from .holdout import name_groups, part_groups
from .meanings import valued
from .plan import fill_in, framed, name_classes
from .record import ends
from .run import train_model
from .validate import Judged, judge, open_example, summarize
from .wishes import Wishes

__all__ = ["folds_folder", "known_scores", "train_folds"]

_ORDER: Final = "order.json"
_SCORES: Final = "scores.json"
_TOGETHER: Final = "cross-validation"
_MANY: Final = "tumor"  # a task whose objects may be many


def folds_folder(folder: Path) -> Path:
    """Return where the models of the folds are kept: ``<model folder>.folds``."""
    return folder.with_name(f"{folder.name}{FOLDS_ENDING}")


def train_folds(
    data: Path | Sequence[Example], spec: TrainSpec, folder: Path | None = None, wishes: Wishes | None = None
) -> Steps[Path]:
    """Train a model on each fold, judge it on what was left out, and train the model itself on everything.

    What is done stays done: the same call goes on after the folds that are finished.

    Parameters
    ----------
    data : Path or sequence of Example
        See :func:`napari_unet.training.plan.prepare`. Images that are held out by their table are in no fold.
    spec : TrainSpec
        With two folds or more.
    folder : Path, optional
        Model folder to make; by default in the user's model folder. The models of the folds lie in ``<folder>.folds``.
    wishes : Wishes, optional
        Of the user while it runs.

    Returns
    -------
    Path
        The model folder; its card has the scores of each fold, and those of all together.

    Yields
    ------
    Progress
        See :func:`napari_unet.training.fit.fit`.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together, or there are too few groups.
    SpecError
        If folds of this name were begun with other settings.
    """
    if spec.devices * spec.nodes > 1:
        raise SpecError("Folds are trained one after the other, each by one process: leave out --devices and --nodes.")
    folder = folder or user_folder() / spec.name
    place = folds_folder(folder)
    examples = as_examples(data)
    parts = _parted(examples, spec)
    _keep_order(place, spec, parts)
    # Classes that nobody named are counted in all images, not in those of a fold.
    spec = name_classes(spec, data)
    spec = spec.model_copy(update={"target": fill_in(spec, framed(examples, spec)).target})
    for number, part in enumerate(parts, 1):
        own = _model_of(place, number)
        if find_card(own):
            continue
        kept = sum(each.held_out is True for each in part)
        words = f"Fold {number} of {spec.folds}: {len(part) - kept} images are learned from, {kept} are left out."
        yield Progress(0, 0, "starting", news=words)
        alone = spec.model_copy(update={"name": own.name, "folds": 0, "validation": 0.0})
        yield from train_model(part, alone, own, None, wishes)
    scores, min_size, said = yield from _judged(place, spec, parts)
    yield Progress(0, 0, "starting", news=said)
    if min_size and spec.target:
        spec = spec.model_copy(update={"target": spec.target.model_copy(update={"min_size": min_size})})
    return (yield from train_model(examples, spec, folder, None, wishes, scores))


def known_scores(folder: Path) -> dict[str, dict[str, float]]:
    """Return the scores of a cross-validation that is done, for a model that goes on after it; empty without."""
    file = folds_folder(folder) / _SCORES
    return json.loads(file.read_text("utf-8"))["scores"] if file.is_file() else {}


def _model_of(place: Path, number: int) -> Path:
    return place / f"{place.stem}-fold-{number}"


def _parted(examples: Sequence[Example], spec: TrainSpec) -> list[list[Example]]:
    """Return the examples of each fold, which say whether they are left out."""
    free = [each for each in examples if each.held_out is not True]
    groups = part_groups(free, spec.folds, spec.seed)
    return [[replace(e, held_out=(e.group or e.source) in own) for e in free] for own in groups]


def _keep_order(place: Path, spec: TrainSpec, parts: Sequence[Sequence[Example]]) -> None:
    """Write down what the folds are, or refuse to mix them with others."""
    called = name_groups([each for part in parts for each in part])
    left_out = [sorted({called[e.group or e.source] for e in part if e.held_out}) for part in parts]
    said = {"spec": spec.model_dump(mode="json", exclude_unset=True), "folds": left_out}
    file = place / _ORDER
    if file.is_file() and json.loads(file.read_text("utf-8")) != said:
        raise SpecError(
            f"'{place}' holds folds of other settings or images. Give those again to go on, choose another name, or "
            "delete that folder."
        )
    place.mkdir(parents=True, exist_ok=True)
    _write(file, said)


def _write(file: Path, values: Any) -> None:
    write_text(file, json.dumps(values, indent=1) + "\n")


def _judged(
    place: Path, spec: TrainSpec, parts: Sequence[Sequence[Example]]
) -> Steps[tuple[dict[str, dict[str, float]], str, str]]:
    """Return the scores of the folds, what is kept of the classes, and what is to be said; measured once."""
    file = place / _SCORES
    if file.is_file():
        known = json.loads(file.read_text("utf-8"))
        return known["scores"], known["min_size"], known["said"]
    plain: list[list[Judged]] = []
    single: list[Judged] = []
    device = choose_device(spec.device, spec.net.ndim if spec.net else 2)
    for number, part in enumerate(parts, 1):
        own = _model_of(place, number)
        card = read_card(own)
        names = _choosable(spec, card.target)
        model = Model(card, read_network(own, card), device)
        largest = card.model_copy(update={"target": card.target.model_copy(update={"min_size": LARGEST})})
        other = Model(largest, read_network(own, card), device)
        plain.append([])
        for example in valued(spec, [each for each in part if each.held_out]):
            yield Progress(0, 0, f"Judging fold {number} of {len(parts)}: {example.name}")
            shown = open_example(example, rule=card.target, ndim=card.net.ndim)
            plain[-1].append(judge(shown, model))
            if names:
                single.append(judge(shown, other))
    kept, together, said = _kept(names, [each for fold in plain for each in fold], single)
    pooled = summarize(together)
    scores = {f"fold {n}": summarize(each)[0] | {"images": float(len(each))} for n, each in enumerate(plain, 1)}
    scores[_TOGETHER] = pooled[0] | ends(pooled[1]) | {"images": float(len(together))}
    told = ", ".join(f"{name} {value:.3f}" for name, value in pooled[0].items())
    said = f"Cross-validation on {len(together)} images: {told}. {said}".strip()
    _write(file, {"scores": scores, "min_size": kept, "said": said})
    return scores, kept, said


def _choosable(spec: TrainSpec, rule: Any) -> tuple[str, ...]:
    """Return the classes of which only the largest piece may be kept, if that is better."""
    if spec.task == _MANY or rule.min_size or rule.nested or not rule.background:
        return ()
    return tuple(row.name for row in rule.table)


def _kept(names: Sequence[str], plain: Sequence[Judged], single: Sequence[Judged]) -> tuple[str, list[Judged], str]:
    """Choose by the pooled Dice of each class; return the rule, the scores with it, and what is to be said."""
    if not names:
        return "", list(plain), ""
    both = [np.stack([_table(each) for each in found]) for found in (plain, single)]
    before, after = (_dice(table.sum(0)) for table in both)
    better = after > before
    rule = ", ".join(f"{name}={LARGEST}" for name, is_better in zip(names, better, strict=True) if is_better)
    tables = np.where(better[:, None], both[1], both[0])
    judged = [
        replace(each, classes=table, overlap=float(table[:, 0].sum()), pixels=float(table[:, 1:].sum()))
        for each, table in zip(plain, tables, strict=True)
    ]
    told = [
        f"{name} (Dice {old:.3f} before, {new:.3f} after)"
        for name, old, new, is_better in zip(names, before, after, better, strict=True) if is_better
    ]  # fmt: skip
    return rule, judged, f"Only the largest piece is kept of {', '.join(told)}." if told else ""


def _table(judged: Judged) -> npt.NDArray[np.float64]:
    if judged.classes is None:
        raise TrainingDataError("Objects have no table of classes. Cross-validate models of classes or of objects.")
    return judged.classes


def _dice(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    both, wanted, got = table.T
    return np.asarray(2 * both / np.maximum(wanted + got, 1.0))
