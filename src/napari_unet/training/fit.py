"""The training loop, as a generator of progress: stop it, run it again, and it goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from ..core.errors import TrainingDataError
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps
from ..models.cards import find_model, read_card
from ..models.store import read_network
from ..nets import patch
from ..targets import Target, target
from .checkpoints import Checkpoints
from .course import Around, Course
from .gentle import goes_on
from .loss import compare
from .pace import Pace
from .patches import Pair, Sampler
from .ranks import Ranks
from .state import Run, learning_rate

__all__ = ["check_before", "fit", "learning_rate", "supervised"]


def supervised(
    scores: torch.Tensor | Sequence[torch.Tensor], loss: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Return the loss of scores, or the weighted mean of those of several levels.

    Parameters
    ----------
    scores : Tensor or sequence of Tensor
        What a network puts out in training: with deep supervision the finest first.
    loss : callable
        Of the scores of one level.

    Returns
    -------
    Tensor
        One number. Weights are 1, 1/2, 1/4 and so on, divided by their sum, as in nnU-Net
        (Isensee et al. 2021).
    """
    if isinstance(scores, torch.Tensor):
        return loss(scores)
    weights = [0.5**level for level in range(len(scores))]
    parts = [weight * loss(each) for weight, each in zip(weights, scores, strict=True)]
    return torch.stack(parts).sum() / sum(weights)


def fit(
    pairs: Sequence[Pair],
    spec: TrainSpec,
    folder: Path,
    device: str = "cpu",
    learn: Target | None = None,
    around: Around | None = None,
) -> Steps[nn.Module]:
    """Train a network on annotated images.

    Parameters
    ----------
    pairs : sequence of Pair
        Training images.
    spec : TrainSpec
        With everything filled in from its task.
    folder : Path
        Where safe points and the curve are kept; a run found there is resumed.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    learn : Target, optional
        Another representation than the one the spec names.
    around : Around, optional
        Other processes, the user's wishes, and who looks at the network meanwhile.

    Returns
    -------
    torch.nn.Module
        The network with the averaged weights, in evaluation mode: those of the best report where there is a
        validation, else the last.

    Yields
    ------
    Progress
        Every ``spec.every`` steps, and more often where a time is given, with an :class:`Epoch` as payload; between
        them twice a second without one, or with a preview.

    Raises
    ------
    TrainingDataError
        If nothing is labeled, or the folder holds a run with other settings.
    TrainingError
        If the loss is no number any more.
    OutputError
        If a checkpoint cannot be written.
    Cancelled
        If the user wished a stop; the run is then at a safe point.
    """
    if spec.net is None or spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    around = around or Around()
    learn = learn or target(spec.target)
    net = spec.net.model_copy(update={"outputs": len(learn.CHANNELS) + 1})
    fitting = spec.model_copy(update={"patch": patch(net, spec.patch)})
    device = around.ranks.device(device)
    told = around.pressed or spec
    pace_of = around.ranks.agree([told.rate, told.warmup, told.frozen], device)
    spec = spec.model_copy(update=dict(zip(("rate", "warmup", "frozen"), pace_of, strict=True)))
    sampler, keep = Sampler(pairs, fitting, learn, device), Checkpoints(folder)
    run = Run(spec, net, device, _fingerprint(pairs), around.ranks)
    if spec.start:
        card = read_card(find_model(spec.start))
        run.start_from(read_network(find_model(spec.start), card))
        run.whole = goes_on(spec, card)
    run.history.before = dict(around.before)
    if not around.ranks.rank and (state := keep.read(run.device)):
        run.resume(state, str(folder))
    run.share(_seen(pairs))
    pace = Pace(run, around.wishes)
    yield Progress(*pace.length, "going on" if run.step else "starting", news=keep.said)
    threads, loss = torch.get_num_threads(), compare(learn, spec, run.device)
    try:
        torch.set_num_threads(spec.threads or threads)
        course = Course(run, around, pace, keep)
        yield from course.steps(sampler, lambda scores, batch: supervised(scores, lambda one: loss(one.float(), batch)))
    finally:
        torch.set_num_threads(threads)
        around.history, around.steps = run.history, run.step
    if run.history.best >= 0:
        if best := keep.read_best(run.device):
            run.average.load_state_dict(best["average"])
        else:
            yield Progress(*pace.length, "done", news=keep.said)
    return run.average.eval()


def check_before(pairs: Sequence[Pair], spec: TrainSpec, folder: Path) -> None:
    """Refuse to go on with a run of other settings or images, before anything in its folder is changed.

    Parameters
    ----------
    pairs : sequence of Pair
        Training images.
    spec : TrainSpec
        Complete, its network with all outputs.
    folder : Path
        Of the run; perhaps nothing is kept there yet.

    Raises
    ------
    TrainingDataError
        If what is kept there is of another run, or cannot be read.
    """
    state = Checkpoints(folder).read("cpu")
    if state is not None and spec.net is not None:
        Run(spec, spec.net, "cpu", _fingerprint(pairs), Ranks()).check(state, str(folder))


def _fingerprint(pairs: Sequence[Pair]) -> str:
    """Tell one set of training images from another."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {tuple(pair.labels.shape)} {pair.weight} {pair.digest} {pair.kinds}".encode())
        digest.update(pair.sizes.tobytes())
        # Of masks nothing else tells what is drawn.
        for places in (pair.spots, pair.places):
            digest.update(b"" if places is None else places.tobytes())
    return digest.hexdigest()


def _seen(pairs: Sequence[Pair]) -> str:
    """Tell images by what is in them: a process that others have started reads those of layers from files."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{tuple(pair.labels.shape)} {pair.weight}".encode() + pair.sizes.tobytes())
    return digest.hexdigest()
