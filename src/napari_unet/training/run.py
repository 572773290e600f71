"""A training run from files to a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..core.axes import Image
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.model_card import ModelCard
from ..core.specs import GridSpec, NetSpec, TrainSpec, load_task
from ..core.steps import Progress, Steps
from ..models.cards import user_folder
from ..targets import target
from .fingerprint import common_bands
from .kept import planned_before
from .pairs import Pair
from .plan import Prepared, framed, prepare
from .runs import Order, run_folder
from .whole import Material, train_whole
from .wishes import Wishes, taken_back

__all__ = ["make_card", "train_model"]

_COLORS: Final = 3


def train_model(
    data: Path | Sequence[Example],
    spec: TrainSpec,
    folder: Path | None = None,
    watched: Image | None = None,
    wishes: Wishes | None = None,
    scores: Mapping[str, dict[str, float]] | None = None,
) -> Steps[Path]:
    """Train on annotated images and store the model.

    Parameters
    ----------
    data : Path or sequence of Example
        See :func:`napari_unet.training.plan.prepare`.
    spec : TrainSpec
        What is not set by name follows from the data.
    folder : Path, optional
        Model folder to make; by default in the user's model folder. Checkpoints lie in ``<folder>.training``.
    watched : Image, optional
        A picture that is segmented now and then, for the user to look at.
    wishes : Wishes, optional
        Of the user while it runs: stop, pause.
    scores : mapping, optional
        What is known of models that were trained like this one; goes on the card.

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
    # Before anything is read: a name that no model can have must not be found out at the end.
    make_card(spec.filled(load_task(spec.task)), "")
    folder = folder or user_folder() / spec.name
    if not isinstance(data, Path):
        data = framed(data, spec)
    run = run_folder(folder, spec.name)
    with taken_back(run):
        made = yield from prepare(data, planned_before(run, spec) or spec)
        planned, said = made.plan.spec, (*made.plan.words, *(f"Note: {text}" for text in made.plan.warnings))
        yield Progress(0, 0, "planned", news="\n".join(said))
        order = Order(_settled(data, made), planned, folder, watched)
        learning = planned.model_copy(update={"net": fitted_net(planned)})
        card = make_card(learning, f"{len(made.learned)} annotated images", made.pairs)
        card = card.model_copy(update={"metrics": dict(scores or {})})
        material = Material(order, learning, card, made.pairs, made.learned, made.held_out, made.plan, spec, made.held)
        return (yield from train_whole(material, wishes))


def _settled(data: Path | Sequence[Example], made: Prepared) -> Path | Sequence[Example]:
    """Return the data with what was decided of them: layers that are written to files get other names."""
    if isinstance(data, Path):
        return data.resolve()
    if made.plan.spec.corner:
        return data
    kept = {id(example) for example in made.withheld}
    return [replace(example, held_out=id(example) in kept) for example in data]


def fitted_net(spec: TrainSpec) -> NetSpec:
    """Return the network with the outputs that its target and the object size need."""
    if spec.net is None or spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    return spec.net.model_copy(update={"outputs": len(target(spec.target).CHANNELS) + 1})


def make_card(spec: TrainSpec, data: str, pairs: Sequence[Pair] = ()) -> ModelCard:
    """Describe the model that a finished run has made."""
    if spec.target is None or spec.normalize is None or spec.diameter is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    net, bands = fitted_net(spec), common_bands(pairs)
    seen = {int(pair.facts.get("channels", 1)) for pair in pairs}
    gray = {1} if net.inputs == _COLORS and not bands else set()  # with all colors alike
    length = f"{spec.steps} steps" if spec.minutes is None else f"{spec.minutes:g} minutes"
    return ModelCard.of(
        name=spec.name,
        title=spec.name,
        task=spec.task,
        net=net,
        target=spec.target,
        normalize=spec.normalize,
        channels=tuple(sorted(seen | gray | {net.inputs})),
        bands=bands if len(bands) == net.inputs else (),
        diameter=spec.diameter,
        grid=spec.grid or GridSpec(),
        data=data,
        license=spec.license,
        recipe=f"{length} of {spec.batch} patches of {spec.patch} pixels, Muon, rate {spec.rate:g}",
        seed=spec.seed,
    )
