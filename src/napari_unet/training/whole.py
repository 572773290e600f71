"""A whole training: other processes are met, the network learns, is judged and becomes a model with its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..core.errors import Cancelled, ModelError, TrainingError
from ..core.examples import Example
from ..core.model_card import ModelCard
from ..core.results import Plan
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps
from ..io.atomic import clear, write_text
from ..io.journal import Journal
from ..models.cards import find_model, read_card
from ..models.devices import choose_device
from ..models.model import Model
from ..models.store import read_network, write_model
from ..models.zoo import load_model
from ..targets import target
from .checkpoints import Checkpoints
from .course import Around
from .fit import check_before, fit
from .gentle import goes_on, pressed, rose
from .kept import begun_with, keep_plan
from .looks import Looks
from .patches import Pair
from .ranks import Ranks, is_first, joined
from .record import EXAMPLE, complete_card, describe_data, draw_example, plan_facts, verdict
from .room import check_room
from .runs import Order, note_state, run_folder, write_order
from .unseen import Unseen
from .validate import summarize
from .wishes import PAUSE, Wishes

__all__ = ["Material", "train_whole"]

_BEFORE = "before.json"  # scores of the model that a run begins with
_KEPT = ("log.csv", "plan.json", "events")  # of a run's folder, in the model's


@dataclass(frozen=True)
class Material:
    """What is learned from.

    Attributes
    ----------
    order : Order
        What was asked for.
    spec : TrainSpec
        The same with everything filled in.
    card : ModelCard
        Of the model to be.
    pairs : sequence of Pair
        Images ready for training.
    learned, held_out : sequence of Example
        The images of `pairs`, and those that are kept to validate on.
    plan : Plan or None
        How it was decided.
    given : TrainSpec or None
        Settings before that.
    held : sequence of Pair
        The images of `held_out`, ready to be looked at as patches.
    """

    order: Order
    spec: TrainSpec
    card: ModelCard
    pairs: Sequence[Pair]
    learned: Sequence[Example]
    held_out: Sequence[Example] = ()
    plan: Plan | None = None
    given: TrainSpec | None = None
    held: Sequence[Pair] = ()


def train_whole(material: Material, wishes: Wishes | None = None) -> Steps[Path]:
    """Train a network and store it as a model.

    Parameters
    ----------
    material : Material
        Images and settings.
    wishes : Wishes, optional
        Of the user while it runs.

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
    Cancelled
        If the user wished a stop.
    TrainingError
        If the loss is no number any more, or another process is gone.
    OutputError
        If the disk has too little room, or something cannot be written.
    """
    spec, folder = material.spec, material.order.folder
    device = _device(spec)
    Ranks(world=spec.devices * spec.nodes).parts(spec)  # refused before anything is written
    run = run_folder(folder, spec.name)
    wishes = wishes or Wishes()
    if not is_first():
        with joined(spec, device, run) as ranks:
            # A signal reaches all processes; the first one stops them at one step.
            yield from fit(material.pairs, spec, run, device, around=Around(ranks, wishes))
        return folder
    if narrow := check_room(spec, material.order, run):
        yield Progress(0, 0, "starting", news=narrow)
    with Journal(run):  # for one program at a time
        _write_down(material, run)
        with joined(spec, device, run) as ranks:
            (run / PAUSE).unlink(missing_ok=True)
            wishes.watch(run)
            said = yield from _first(material, run, ranks, wishes)
    clear(run)
    if said:
        yield Progress(0, 0, "done", news=said)
    return folder


def _write_down(material: Material, run: Path) -> None:
    """Keep what was asked for and how it was planned, unless the folder holds another run."""
    if not Checkpoints(run).there:
        (run / _BEFORE).unlink(missing_ok=True)  # of another start, perhaps
    check_before(material.pairs, _pressed(material.spec, run), run)
    write_order(material.order)
    if material.plan is not None and material.given is not None:
        keep_plan(run, material.given, material.plan)


def _device(spec: TrainSpec) -> str:
    return choose_device(spec.device, spec.net.ndim if spec.net else 2)


def _first(material: Material, run: Path, ranks: Ranks, wishes: Wishes) -> Steps[str]:
    """Do what the first process does; return what is to be said at the end."""
    spec, order = material.spec, material.order
    device = ranks.device(_device(spec))
    looks = Looks(material.held_out, material.learned, spec, material.card, run, order.watched)
    looks.device = device
    if spec.target is not None and any(len(pair.spots) for pair in material.held):
        looks.unseen = Unseen(material.held, spec, target(spec.target), device)
    around = Around(ranks, wishes, looks)
    note_state(run, "running")
    try:
        around.before = yield from _before(spec, looks, run)
        around.pressed = fast = _pressed(spec, run)
        if fast != spec:
            said = f"So there is little to lose: it learns {fast.rate / spec.rate:g} times as fast as was planned."
            yield Progress(0, 0, "starting", news=said)
            recipe = material.card.recipe.replace(f"rate {spec.rate:g}", f"rate {fast.rate:g}")
            material = replace(material, spec=fast, card=material.card.model_copy(update={"recipe": recipe}))
        network = yield from fit(material.pairs, spec, run, device, around=around)
        yield Progress(0, 0, "Judging the model on the held-out images" if material.held_out else "Writing the model")
        return _finish(material, network, around, run)
    except (Cancelled, GeneratorExit, KeyboardInterrupt):
        note_state(run, "stopped")
        raise
    except BaseException:
        note_state(run, "failed")
        raise


def _before(spec: TrainSpec, looks: Looks, run: Path) -> Steps[dict[str, float]]:
    """Return the scores of the model that is started from; they are measured once."""
    if not spec.start or not (looks.held_out or goes_on(spec, read_card(find_model(spec.start)))):
        return {}
    file, where = run / _BEFORE, _where(looks)
    if not file.is_file():
        yield Progress(0, 0, f"Judging '{spec.start}' {where}")
        model = load_model(spec.start, looks.device)
        if not isinstance(model, Model):
            raise ModelError(f"'{spec.start}' was made by another program and cannot be trained further here.")
        scores = looks.compare(model)
        write_text(file, json.dumps(scores))
    before: dict[str, float] = json.loads(file.read_text("utf-8"))
    told = ", ".join(f"{name} {value:.3f}" for name, value in before.items())
    yield Progress(0, 0, "starting", news=f"'{spec.start}' {where}, before: {told}.")
    return before


def _pressed(spec: TrainSpec, run: Path) -> TrainSpec:
    """Return how fast a run learns, by the scores of the model that it was begun with: the same when it goes on."""
    file, begun = run / _BEFORE, begun_with(run)
    if begun is None or not file.is_file():
        return spec
    planned, named = begun
    fast = pressed(planned, named, json.loads(file.read_text("utf-8")))
    return spec.model_copy(update={name: getattr(fast, name) for name in ("rate", "warmup", "frozen")})


def _where(looks: Looks) -> str:
    return "on the held-out images" if looks.held_out else "on images that are learned from"


def _finish(material: Material, network: nn.Module, around: Around, run: Path) -> str:
    """Judge and write the model."""
    looks, history, spec = around.look, around.history, material.spec
    if not isinstance(looks, Looks) or history is None:
        raise TrainingError("The training has no history. Start it again.")
    shown, judged = looks.final(network)
    before, after, kept = history.before, {}, False
    if before:
        after = summarize(judged)[0] if judged else looks.compare(looks.model(network))
        card = read_card(find_model(spec.start))
        kept = looks.score(after) is not None and goes_on(spec, card) and not rose(before, after)
        if kept:
            network = read_network(find_model(spec.start), card).eval()
            shown, judged = looks.final(network)
    said = verdict(spec.start, before, after, _where(looks), kept)
    facts = plan_facts(spec, material.plan, around.steps, looks.device, around.ranks.world)
    facts["data"] = describe_data(material.learned, material.held_out)
    card = complete_card(material.card, facts, history, (shown, judged), said)
    most = float(spec.patch**2 * 4)
    example = shown[0] if shown else looks.open(material.learned[0], most, card.diameter)
    labels = judged[0].labels if judged else looks.labels(network, example)

    def fill(part: Path) -> None:
        draw_example(example, labels, part / EXAMPLE)
        (part / "training").mkdir()
        for name in _KEPT:
            if (run / name).is_dir():
                shutil.copytree(run / name, part / "training" / name)
            elif (run / name).is_file():
                shutil.copyfile(run / name, part / "training" / name)

    write_model(material.order.folder, card, network, fill)
    return said
