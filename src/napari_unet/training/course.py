"""The course of a run: steps, reports, pauses, safe points."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import nn

from ..core.errors import Cancelled, TrainingError
from ..core.results import Epoch
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps
from .checkpoints import Checkpoints
from .curve import Curve
from .pace import Pace
from .patches import Batch, Sampler
from .ranks import Ranks
from .state import History, Loss, Run, learning_rate
from .unseen import LOSS, risen_since, risen_words
from .wishes import Wishes

__all__ = ["Around", "Course", "Looker"]

_WAIT: Final = 0.2  # seconds between two looks at whether a pause is over
_TIMED: Final = 10  # steps between two reports of a training for a time, as long as nobody knows how fast it is


class Looker(Protocol):
    """Looks at how far a network has come."""

    def report(self, network: nn.Module, between: int) -> tuple[dict[str, float], tuple[Path, ...]]:
        """Return scores of the validation, and files of examples; `between` steps are done between two reports."""

    def score(self, validation: dict[str, float]) -> float | None:
        """Return the one number by which a validation is judged, higher is better; None if nothing was measured."""

    def glance(self, network: nn.Module, seconds: float) -> Path | None:
        """Return labels of the picture that is watched, if it is time for them after so many seconds of training."""


@dataclass
class Around:
    """What goes on beside the steps of a training.

    Attributes
    ----------
    ranks : Ranks
        The other processes.
    wishes : Wishes
        What the user wants of it while it runs.
    look : Looker or None
        Who looks at the network at each report; the first process only.
    before : dict of float
        Validation of the model that it starts from.
    pressed : TrainSpec or None
        How fast it learns, if otherwise than planned; the first process tells the others.
    history : History or None
        Of the run, once it has begun.
    steps : int
        How many steps were done.
    """

    ranks: Ranks = field(default_factory=Ranks)
    wishes: Wishes = field(default_factory=Wishes)
    look: Looker | None = None
    before: dict[str, float] = field(default_factory=dict)
    pressed: TrainSpec | None = None
    history: History | None = None
    steps: int = 0


class Course:
    """A run from where it is to its end.

    Parameters
    ----------
    run : Run
        At its start or a safe point.
    around : Around
        What goes on beside it.
    pace : Pace
        Its clock.
    keep : Checkpoints
        Where it is kept.
    """

    def __init__(self, run: Run, around: Around, pace: Pace, keep: Checkpoints) -> None:
        self.run, self.around, self.pace, self.keep = run, around, pace, keep
        self.first = not around.ranks.rank
        self.curve = Curve(keep.folder, run.step) if self.first else None
        self.saved = run.step
        self.holding = False
        self.warned = risen_since(run.history.rows) is not None

    def steps(self, sampler: Sampler, loss: Loss) -> Steps[None]:
        """Go on to the end.

        Parameters
        ----------
        sampler : Sampler
            Draws the patches.
        loss : callable
            Of what the network puts out, and the patches.

        Yields
        ------
        Progress
            See :func:`napari_unet.training.fit.fit`.

        Raises
        ------
        Cancelled
            If the user wished a stop.
        TrainingError
            If the loss is no number any more.
        OutputError
            If something cannot be written.
        """
        run, parts = self.run, self.run.parts

        def draw(step: int) -> list[Batch]:
            return [sampler.batch(step, part) for part in parts]

        with ThreadPoolExecutor(1, "patches") as pool:
            coming = pool.submit(draw, run.step)
            try:
                self.around.wishes.attentive = True
                yield from self.begin()
                while not (order := self.pace.order()).end or order.report:
                    if order.report:
                        yield from self.report(order.share)
                    elif order.stop:
                        self.save()
                        raise Cancelled("The training was stopped. It goes on from here when it is started again.")
                    elif order.hold:
                        yield self.hold()
                    else:
                        self.holding = False
                        batches = coming.result()
                        coming = pool.submit(draw, run.step + 1)
                        run.advance(batches, loss, self.at(order.share))
                        if self.pace.word_due():
                            yield self.word(order.share)
            except GeneratorExit:
                self.save()
                raise
            except RuntimeError:
                self.around.wishes.failing = True
                raise
            finally:
                self.around.wishes.attentive = False
                coming.cancel()
                if self.curve:
                    self.curve.close()

    def begin(self) -> Steps[None]:
        """Judge the model that is gone on from as every report does: it is the best until there is a better one."""
        run, look, history = self.run, self.around.look, self.run.history
        if not (run.whole and look and self.first) or run.step or history.best >= 0:
            return
        timed = run.spec.minutes is not None
        history.between = min(run.spec.every, _TIMED) if timed else run.spec.every
        with self.pace.judging():
            validation, examples = look.report(run.average, history.between)
        score = look.score(validation)
        if score is None:
            return
        history.best, history.best_step = score, 0
        self.pace.reported()
        self.keep.write_best(run.best_state())
        epoch = Epoch(0, math.nan, learning_rate(0, run.spec), self.pace.seconds, validation, examples, True)
        yield Progress(*self.pace.length, f"before the first step: {_told(validation)}", epoch)

    def at(self, share: float) -> float | None:
        """Return the share that the learning rate follows, if it is the time that is given."""
        return None if self.run.spec.minutes is None else share

    def save(self) -> None:
        """Make a safe point of this moment."""
        if self.first and self.saved != self.run.step:
            self.run.history.seconds = self.pace.seconds
            self.keep.write(self.run.state())
            self.saved = self.run.step

    def hold(self) -> Progress:
        """Wait a little."""
        if not self.holding:
            self.save()
            self.holding = True
        self.pace.hold(_WAIT)
        return Progress(*self.pace.length, "paused")

    def word(self, share: float) -> Progress:
        """Say how far it is, and look at the picture that is watched if it is time to."""
        run, look = self.run, self.around.look
        shown = look.glance(run.average, self.pace.seconds) if look and self.first else None
        losses = run.losses()
        mean = math.fsum(losses) / len(losses)
        rate = learning_rate(run.step, run.spec, self.at(share))
        epoch = Epoch(run.step, mean, rate, self.pace.seconds, preview=shown) if shown else None
        return Progress(*self.pace.length, f"step {run.step}, loss {mean:.3f}", epoch)

    def report(self, share: float) -> Steps[None]:
        """Validate, write everything down and say it."""
        run, history = self.run, self.run.history
        losses = run.losses()
        mean = math.fsum(losses) / len(losses)
        self.check(mean)
        run.forget_losses()
        self.pace.reported()
        if not self.first:
            return
        look, history.between = self.around.look, history.between or run.step
        with self.pace.judging():
            validation, examples = look.report(run.average, history.between) if look else ({}, ())
        score = look.score(validation) if look else None
        better = score is not None and score > history.best
        # Of two that are as good the later one knows more, unless the first is the model that it started from.
        best = better or (score == history.best and history.best_step > 0)
        if best and score is not None:
            history.best, history.best_step = score, run.step
        if score is not None:
            history.worse = 0 if better else history.worse + 1
        rate = learning_rate(run.step, run.spec, self.at(share))
        epoch = Epoch(run.step, mean, rate, self.pace.seconds, validation, examples, best)
        history.seconds = epoch.seconds
        scores = {f"validation {name}": value for name, value in validation.items()}
        history.rows.append({"step": run.step, "seconds": epoch.seconds, "loss": mean, "rate": rate, **scores})
        if best:
            self.keep.write_best(run.best_state())
        self.keep.write(run.state())
        self.saved = run.step
        if self.curve:
            self.curve.write(history.rows)
        told = _told(validation)
        note = f"loss {mean:.3f}{', ' * bool(told)}{told}"
        yield Progress(*self.pace.length, note, epoch, self.warning())

    def warning(self) -> str:
        """Say once that the network begins to learn by heart."""
        since = None if self.warned else risen_since(self.run.history.rows)
        self.warned = self.warned or since is not None
        return "" if since is None else risen_words(since, self.run.history.best >= 0)

    def check(self, loss: float) -> None:
        """Refuse to keep weights that are no numbers."""
        ends = torch.stack([each.detach().sum() for each in self.run.network.parameters()]).sum()
        if math.isfinite(loss) and math.isfinite(float(ends)):
            return
        raise TrainingError(
            f"The loss is no number any more at step {self.run.step}: it grew without end. The safe point of step "
            f"{self.saved} is kept. Train anew with a lower rate, such as --rate {self.run.spec.rate / 4:.2g}, and "
            "look whether an image holds extreme values."
        )


def _told(validation: dict[str, float]) -> str:
    return ", ".join(f"{'validation ' * (name == LOSS)}{name} {value:.3f}" for name, value in validation.items())
