"""The training loop, as a generator of progress: stop it, run it again, and it goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from ..core.errors import OutputError, TrainingDataError
from ..core.results import Epoch
from ..core.specs import NetSpec, TrainSpec
from ..core.steps import Progress, Steps
from ..models.cards import find_model, read_card
from ..models.model import bfloat16_is_fast
from ..models.store import read_network
from ..nets import build, patch
from ..targets import Target, target
from .patches import Batch, Pair, Sampler

__all__ = ["fit", "learning_rate", "supervised"]

_SIZE_WEIGHT = 4.0


def learning_rate(step: int, spec: TrainSpec) -> float:
    """Return the rate of a step: linear rise, plateau, cosine fall to a hundredth."""
    rise, fall = spec.warmup * spec.steps, spec.cooldown * spec.steps
    if step < rise:
        return spec.rate * (step + 1) / (rise + 1)
    left = min((spec.steps - step) / fall, 1.0) if fall else 1.0
    return float(spec.rate * (0.01 + 0.99 * (0.5 - 0.5 * torch.cos(torch.tensor(torch.pi * left)).item())))


class _Run:
    """The state of a run: everything a checkpoint holds."""

    def __init__(self, spec: TrainSpec, net: NetSpec, device: str, data: str) -> None:
        torch.manual_seed(spec.seed)
        self.spec, self.device, self.data, self.step = spec, device, data, 0
        self.network = build(net).to(device)
        if net.ndim == 2:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = build(net).to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=spec.rate, weight_decay=spec.weight_decay, fused=device != "mps"
        )

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "spec": self.spec.model_dump_json(),
            "data": self.data,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

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

    def resume(self, file: Path) -> None:
        try:
            state = torch.load(file, map_location=self.device, weights_only=True)
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            raise TrainingDataError(
                f"The checkpoint {file} cannot be read: {error}. Remove its folder to start anew."
            ) from error
        # A setting that an older program did not know is at its default.
        if TrainSpec.model_validate_json(state["spec"]) != self.spec:
            raise TrainingDataError(
                f"{file.parent} holds a run with other settings. Give the settings it was started with to go on, "
                "or another folder to start anew."
            )
        if state.get("data", self.data) != self.data:
            raise TrainingDataError(
                f"{file.parent} holds a run on other images. Give the images it was started with to go on, "
                "or another folder to start anew."
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def save(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            with part.open("wb") as stream:
                torch.save(self.state(), stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)
        except RuntimeError as error:
            # Interrupted, torch's writer complains of its unfinished file; the interruption is what happened.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        except OSError as error:
            raise OutputError(
                f"The checkpoint {file} cannot be written: {error}. Free space or choose another folder."
            ) from error

    def advance(self, batch: Batch, loss: Callable[[torch.Tensor, Batch], torch.Tensor]) -> torch.Tensor:
        """Do one optimiser step and move the average of the weights towards the new ones."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.spec)
        image = batch.image.to(self.device)
        if image.ndim == 4:
            image = image.contiguous(memory_format=torch.channels_last)
        kind = torch.device(self.device).type
        # What a network drops must not depend on where a run was stopped.
        torch.manual_seed((self.spec.seed * 1_000_003 + self.step) % 2**63)
        with torch.autocast(kind, torch.bfloat16, enabled=bfloat16_is_fast(self.device)):
            scores = self.network(image)
        value = supervised(scores, lambda each: loss(each.float(), batch))
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
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


def _loss(learn: Target, device: str) -> Callable[[torch.Tensor, Batch], torch.Tensor]:
    channels = len(learn.CHANNELS)

    def loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
        objects, sizes = torch.split(scores, [channels, 1], 1)
        # An unpadded network says nothing of the rim of a patch.
        wanted, size = (_middle(truth.to(device), scores) for truth in (batch.target, batch.size))
        value: torch.Tensor = learn.loss(objects, wanted)
        known = (size > 0).float()
        wrong = (sizes[:, 0].sigmoid() - size).abs() * known
        value = value + _SIZE_WEIGHT * wrong.sum() / (known.sum() + 1)
        return value

    return loss


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


def _middle(truth: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the part of the truth ``(b, ..., *s)`` that scores ``(b, k, *s)`` speak of."""
    axes = scores.ndim - 2
    for axis, size in zip(range(-axes, 0), scores.shape[2:], strict=True):
        truth = truth.narrow(axis, (truth.shape[axis] - size) // 2, size)
    return truth


def fit(
    pairs: Sequence[Pair], spec: TrainSpec, folder: Path, device: str = "cpu", learn: Target | None = None
) -> Steps[nn.Module]:
    """Train a network on annotated images.

    Parameters
    ----------
    pairs : sequence of Pair
        Training images.
    spec : TrainSpec
        With everything filled in from its task.
    folder : Path
        Where the checkpoint ``last.pt`` is kept; a run found there is resumed.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    learn : Target, optional
        Another representation than the one the spec names.

    Returns
    -------
    torch.nn.Module
        The network with the averaged weights, in evaluation mode.

    Yields
    ------
    Progress
        Every ``spec.every`` steps, with an :class:`Epoch` as payload.

    Raises
    ------
    TrainingDataError
        If nothing is labelled, or the folder holds a run with other settings.
    OutputError
        If a checkpoint cannot be written.
    """
    if spec.net is None or spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    learn = learn or target(spec.target.name)
    net = spec.net.model_copy(update={"outputs": len(learn.CHANNELS) + 1})
    fitting = spec.model_copy(update={"patch": patch(net, spec.patch)})
    sampler, checkpoint = Sampler(pairs, fitting, learn), folder / "last.pt"
    run = _Run(spec, net, device, _fingerprint(pairs))
    if spec.start:
        run.start_from(read_network(find_model(spec.start), read_card(find_model(spec.start))))
    if checkpoint.exists():
        run.resume(checkpoint)
    yield Progress(run.step, spec.steps, "starting" if not run.step else "going on")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(spec.threads or threads)
        yield from _loop(run, sampler, _loss(learn, device), checkpoint)
    finally:
        torch.set_num_threads(threads)
    return run.average.eval()


def _fingerprint(pairs: Sequence[Pair]) -> str:
    """Tell one set of training images from another."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {tuple(pair.labels.shape)} {pair.weight}".encode())
        digest.update(pair.sizes.tobytes())
    return digest.hexdigest()


def _loop(
    run: _Run, sampler: Sampler, loss: Callable[[torch.Tensor, Batch], torch.Tensor], checkpoint: Path
) -> Steps[None]:
    losses: list[torch.Tensor] = []
    with ThreadPoolExecutor(1, "patches") as pool:
        coming: Future[Batch] = pool.submit(sampler.batch, run.step)
        while run.step < run.spec.steps:
            batch = coming.result()
            coming = pool.submit(sampler.batch, run.step + 1)
            losses.append(run.advance(batch, loss))
            if run.step % run.spec.every == 0 or run.step == run.spec.steps:
                mean = float(torch.stack(losses).mean())
                losses.clear()
                run.save(checkpoint)
                epoch = Epoch(run.step, mean, learning_rate(run.step, run.spec))
                yield Progress(run.step, run.spec.steps, f"loss {mean:.3f}", epoch)
        coming.cancel()
