"""The state of a run: all that a safe point holds, and the step that changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import nn

from ..core.errors import TrainingDataError, TrainingError
from ..core.specs import NetSpec, TrainSpec
from ..models.devices import mixed
from ..nets import build
from .optimizer import Optimizer
from .patches import Batch
from .ranks import Ranks

__all__ = ["FREE", "History", "Loss", "Run", "learning_rate", "same_run"]

Loss = Callable[[Any, Batch], torch.Tensor]

# What may be another when a run goes on: it changes where and how long it runs, not what a step does.
FREE: Final = ("device", "devices", "nodes", "threads", "accumulate", "patience", "minutes", "license")
_LARGEST_SLOPE: Final = 5.0
_SPREAD: Final = 7_368_787  # tells the random numbers of the parts of a step apart


def learning_rate(step: float, spec: TrainSpec, share: float | None = None) -> float:
    """Return the rate of a step: linear rise, plateau, cosine fall to a hundredth.

    Parameters
    ----------
    step : float
        Steps done before it.
    spec : TrainSpec
        Gives the highest rate, and the shares of rise and fall.
    share : float, optional
        How much of the training is over, 0 to 1, where it is the time that is given and not the steps.

    Returns
    -------
    float
        For the optimizer.
    """
    length = float(spec.steps)
    if share is not None:
        step, length = 1000 * share, 1000.0
    rise, fall = spec.warmup * length, spec.cooldown * length
    if step < rise:
        return spec.rate * (step + 1) / (rise + 1)
    left = min((length - step) / fall, 1.0) if fall else 1.0
    return float(spec.rate * (0.01 + 0.99 * (0.5 - 0.5 * torch.cos(torch.tensor(torch.pi * left)).item())))


def same_run(one: TrainSpec, other: TrainSpec) -> bool:
    """Say whether two settings are those of one run, on whichever devices."""
    plain = dict.fromkeys(FREE)
    timed = (one.minutes is None) == (other.minutes is None)
    return timed and one.model_copy(update=plain) == other.model_copy(update=plain)


@dataclass
class History:
    """What was seen so far.

    Attributes
    ----------
    rows : list of dict
        One for each report: step, seconds, loss, rate and the scores of the validation.
    losses : list of float
        Of the steps since the last report.
    seconds : float
        Time of training, pauses left out.
    best : float
        Highest validation score; -1 before the first.
    best_step : int
        Where that was.
    worse : int
        Reports since then.
    before : dict of float
        Validation of the model that this one started from.
    between : int
        Steps between two reports when the first was made, which decides how much the validation looks at.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    worse: int = 0
    before: dict[str, float] = field(default_factory=dict)
    between: int = 0


class Run:
    """A network in training, its average, its optimizer and its history.

    Parameters
    ----------
    spec : TrainSpec
        Complete.
    net : NetSpec
        With the outputs that its target needs.
    device : str
        A device of torch.
    data : str
        Tells one set of images from another.
    ranks : Ranks
        Who shares the work.
    """

    def __init__(self, spec: TrainSpec, net: NetSpec, device: str, data: str, ranks: Ranks) -> None:
        torch.manual_seed(spec.seed)
        self.spec, self.device, self.data, self.ranks = spec, device, data, ranks
        self.step, self.history, self.parts = 0, History(), ranks.parts(spec)
        self.whole = False  # whether it began as a model that is a result itself
        self._losses: list[torch.Tensor] = []
        self.network = build(net).to(device)
        if net.ndim == 2:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = build(net).to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = Optimizer(self.network, spec.rate, spec.weight_decay, fused=device != "mps")

    def state(self) -> dict[str, Any]:
        """Return all that must be kept to go on as if nothing had happened."""
        history = vars(self.history) | {"losses": self.losses()}
        return {
            "step": self.step,
            "spec": self.spec.model_dump_json(),
            "data": self.data,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": history,
        }

    def best_state(self) -> dict[str, Any]:
        """Return what is kept of the best moment."""
        return {"step": self.step, "average": self.average.state_dict()}

    def losses(self) -> list[float]:
        """Return the losses of the steps since the last report."""
        return torch.stack(self._losses).tolist() if self._losses else []

    def forget_losses(self) -> None:
        """Begin a new stretch between two reports."""
        self._losses.clear()

    def start_from(self, network: nn.Module) -> None:
        """Take over all weights that fit, and of the last layer the rows of the foreground and the object size."""
        own, given = self.network.state_dict(), network.state_dict()
        for name, value in given.items():
            if name in own and own[name].shape == value.shape:
                own[name].copy_(value)
            elif name in own and own[name].shape[1:] == value.shape[1:]:
                rows = min(len(own[name]), len(value)) - 1
                own[name][:rows].copy_(value[:rows])
                own[name][-1].copy_(value[-1])
        self.average.load_state_dict(own)

    def check(self, state: dict[str, Any], where: str) -> None:
        """Refuse a safe point that this run cannot go on from.

        Parameters
        ----------
        state : dict
            As :meth:`state` returned it.
        where : str
            For messages.

        Raises
        ------
        TrainingDataError
            If it is of other settings or other images.
        """
        if not self.optimizer.fits(state["optimizer"]):
            raise TrainingDataError(
                f"{where} holds a run of an older version, which moved weights by another rule. Go on with that "
                "version, or give another folder to start anew."
            )
        # A setting that an older program did not know is at its default.
        if not same_run(TrainSpec.model_validate_json(state["spec"]), self.spec):
            raise TrainingDataError(
                f"{where} holds a run with other settings. Give the settings it was started with to go on, "
                "or another folder to start anew."
            )
        if state.get("data", self.data) != self.data:
            raise TrainingDataError(
                f"{where} holds a run on other images. Give the images it was started with to go on, "
                "or another folder to start anew."
            )

    def resume(self, state: dict[str, Any], where: str) -> None:
        """Take over a safe point; see :meth:`check`."""
        self.check(state, where)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.history = int(state["step"]), History(**state.get("history", {}))
        self._losses = [torch.tensor(value, device=self.device) for value in self.history.losses]

    def share(self, seen: str = "") -> None:
        """Give all that the first process has to the others: weights, the optimizer's state, losses.

        Parameters
        ----------
        seen : str
            Tells the images that this process learns from, whatever their files are called.

        Raises
        ------
        TrainingError
            If this process learns something else than the first one.
        """
        if self.ranks.world == 1:
            return
        mine = self.spec.model_dump_json(exclude=set(FREE)) + seen
        mark = float(int(hashlib.sha256(mine.encode()).hexdigest()[:12], 16))  # exact in 64 bits
        first, step, count = self.ranks.agree([mark, self.step, len(self._losses)], self.device)
        if mark != first:
            raise TrainingError(
                f"Process {self.ranks.rank} learns from other images, or with other settings, than the first one. See "
                "that all machines read the same files with the same version of this program, and give --batch and "
                "--patch: what is left open follows from the memory of a machine."
            )
        if self.step != step:
            # The optimizer of a process that has not resumed knows nothing yet: it needs room for what comes.
            self._make_room()
            self.step = int(step)
        weights = [*self.network.state_dict().values(), *self.average.state_dict().values()]
        self.ranks.follow([*weights, *self.optimizer.memories()])
        if count:
            losses = self.ranks.agree((self.losses() or [0.0] * int(count))[: int(count)], self.device)
            self._losses = [torch.tensor(value, device=self.device) for value in losses]

    def _make_room(self) -> None:
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        for each in self.network.parameters():
            each.grad = torch.zeros_like(each)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.network.load_state_dict(kept)

    def advance(self, batches: Sequence[Batch], loss: Loss, share: float | None = None) -> None:
        """Do one optimizer step and move the average of the weights toward the new ones.

        Parameters
        ----------
        batches : sequence of Batch
            The patches of this process, in parts.
        loss : callable
            Of scores and batch.
        share : float, optional
            See :func:`learning_rate`.
        """
        self.network.train()
        if (self.step / self.spec.steps if share is None else share) < self.spec.frozen:
            _hold_statistics(self.network)
        self.optimizer.zero_grad()
        values = [self._backward(batch, part, loss) for batch, part in zip(batches, self.parts, strict=True)]
        slopes = [each.grad for each in self.network.parameters() if each.grad is not None]
        # Statistics of the normalizations go with the gradients: every process goes on with the same ones.
        running = [each for each in self.network.buffers() if each.dtype.is_floating_point]
        value = torch.stack(values).sum()
        self.ranks.average([*slopes, *running, value])
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_SLOPE)
        self.optimizer.step(learning_rate(self.step, self.spec, share))
        self.step += 1
        self._follow()
        self._losses.append(value)

    def _backward(self, batch: Batch, part: slice, loss: Loss) -> torch.Tensor:
        image = batch.image.to(self.device)
        if image.ndim == 4:
            image = image.contiguous(memory_format=torch.channels_last)
        # What a network drops must not depend on where a run was stopped, nor be the same for all parts.
        torch.manual_seed((self.spec.seed * 1_000_003 + self.step + part.start * _SPREAD) % 2**63)
        with mixed(self.device):
            scores = self.network(image)
        value = loss(scores, batch) / len(self.parts)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    @torch.no_grad()
    def _follow(self) -> None:
        # The average must not remember the random start: its decay grows with the steps.
        keep = min(self.spec.average, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)


def _hold_statistics(network: nn.Module) -> None:
    """Have normalizations use the statistics that they have, and leave them as they are, until the next ``train()``."""
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.eval()
