"""Models that other programs made: their network as they describe it, behind the face of a model of this program.

Images are computed one at a time, whatever the batch, and on one thread of a CPU, so that batches and workers change
nothing. Whether tiles do is up to the network; what it says of its halo is kept.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ..core.errors import ModelError
from ..core.foreign import ForeignSpec
from ..core.model_card import ModelCard
from ..targets import target
from ..tiling.grid import Ends
from ._runners import Runner, open_runner
from ._steps import apply_steps, turned

__all__ = ["ForeignModel", "open_foreign"]

Floats = npt.NDArray[np.float32]
Window = tuple[slice, ...]
_ALL: Final = slice(None)


def open_foreign(folder: Path, card: ModelCard, device: str = "cpu") -> ForeignModel:
    """Open a model that another program made.

    Parameters
    ----------
    folder : Path
        Its folder.
    card : ModelCard
        Its card, with a `foreign` part.
    device : str
        A device of torch, or ``"auto"`` for the CPU.

    Returns
    -------
    ForeignModel
        Ready to predict.

    Raises
    ------
    ModelError
        If its file is missing or another one, cannot be opened, or needs code that the user has not allowed to run.
    MissingExtraError
        If a package is needed that is not installed.
    """
    spec = card.foreign
    if spec is None:
        raise ModelError(f"The model '{card.name}' is one of this program and is loaded as such.")
    file = folder / spec.file
    if not file.is_file():
        raise ModelError(f"{file} is missing. Get the model folder again.")
    if card.sha256 and hashlib.sha256(file.read_bytes()).hexdigest() != card.sha256:
        raise ModelError(
            f"{file} is not the file its card names. It was changed or damaged; get the model folder again."
        )
    device = "cpu" if device == "auto" else device
    return ForeignModel(card, open_runner(folder, spec, card.name, device), device)


class ForeignModel:
    """A network that another program made, with the interface of :class:`~napari_unet.models.model.Model`.

    Parameters
    ----------
    card : ModelCard
        With a `foreign` part.
    runner : callable
        The network: an array in its own order of axes to a list of arrays.
    device : str
        Where it runs.

    Attributes
    ----------
    halo, multiple : tuple of int
        Context a score needs and the grid that tiles start on, pixels along each spatial axis.
    """

    def __init__(self, card: ModelCard, runner: Runner, device: str = "cpu") -> None:
        if card.foreign is None or len(card.foreign.scores) != len(target(card.target).CHANNELS):
            raise ModelError(
                f"The card of '{card.name}' does not say for every channel of the target '{card.target.name}' where it "
                "comes from. Add the model again."
            )
        self.card, self.device, self.precision = card, device, torch.float32
        self.spec: ForeignSpec = card.foreign
        self.halo, self.multiple = self.spec.halo, self.spec.multiple
        self.runner = runner

    @property
    def outputs(self) -> int:
        """Number of score channels that the target decodes; the object size follows them."""
        return len(self.spec.scores)

    @property
    def axes(self) -> str:
        """The order of axes of everything here."""
        return "bc" + "zyx"[3 - self.card.net.ndim :]

    def predict(self, batch: Floats, ends: Ends = ()) -> Floats:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``, normalized as the card says.
        ends : tuple of (bool, bool)
            Makes no difference here.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)`` in 0 to 1: the target's channels, then the object size (log scale; 0 where the network does
            not tell).

        Raises
        ------
        ModelError
            If the number of channels is not the network's, or the network fails.
        """
        if batch.shape[1] != self.card.net.inputs:
            raise ModelError(
                f"The model '{self.card.name}' takes {self.card.net.inputs} channels but was given {batch.shape[1]}."
            )
        return np.concatenate([self._score(one[None]) for one in batch])

    def run(self, one: Floats) -> list[Floats]:
        """Compute what the network itself puts out, after its postprocessing.

        Parameters
        ----------
        one : ndarray of float32
            ``(1, c, *s)``, normalized as the card says, of lengths that the network takes.

        Returns
        -------
        list of ndarray of float32
            One ``(1, k, *s)`` for each output; smaller than what was given where the network cuts a border off.

        Raises
        ------
        ModelError
            If the network fails, or returns other outputs than its card says.
        """
        spec, letters = self.spec, self.axes
        found = self.runner(turned(apply_steps(one, spec.before), letters, spec.axes))
        if len(found) < len(spec.outputs) or any(a.ndim != len(x) for a, x in zip(found, spec.outputs, strict=False)):
            raise ModelError(
                f"The network of '{self.card.name}' returned arrays of the shapes {[a.shape for a in found]}; its card "
                f"says they have the axes {', '.join(spec.outputs)}. Add the model again."
            )
        parts = zip(found, spec.outputs, spec.after, strict=False)
        return [apply_steps(turned(array, axes, letters).astype(np.float32), steps) for array, axes, steps in parts]

    def _score(self, one: Floats) -> Floats:
        """Return the scores ``(1, k, *s)`` of one image of any size."""
        shape = one.shape[2:]
        wanted = self.spec.fitting(shape)
        # Mirrored beyond its end where the network takes no such length.
        pad = [(0, 0), (0, 0), *((0, max(0, w - n)) for n, w in zip(shape, wanted, strict=True))]
        padded = np.pad(one, pad, mode="symmetric")
        out = np.zeros((1, self.outputs + 1, *padded.shape[2:]), np.float32)
        for read, write, crop in _windows(padded.shape[2:], wanted, self.halo):
            scores = self._meaning(self.run(padded[(_ALL, _ALL, *read)]), wanted)
            out[(_ALL, _ALL, *write)] = scores[(_ALL, _ALL, *crop)]
        return np.ascontiguousarray(out[(_ALL, _ALL, *(slice(n) for n in shape))])

    def _meaning(self, found: list[Floats], shape: tuple[int, ...]) -> Floats:
        """Turn the network's outputs into the channels of the target, and the object size."""
        channels = np.concatenate([self.centered(array, shape) for array in found], axis=1)
        used = [n if n >= 0 else -1 - n for row in self.spec.scores for n in row] + [self.spec.size or 0]
        if max(used) >= channels.shape[1]:
            raise ModelError(
                f"The network of '{self.card.name}' has {channels.shape[1]} channels, fewer than its card says. "
                "Add the model again."
            )
        rows = [sum(channels[:, n] if n >= 0 else 1 - channels[:, -1 - n] for n in row) for row in self.spec.scores]
        size = np.zeros_like(channels[:, 0]) if self.spec.size is None else channels[:, self.spec.size]
        scores: Floats = np.clip(np.nan_to_num(np.stack([*rows, size], axis=1)), 0, 1)
        return scores

    def centered(self, array: Floats, shape: tuple[int, ...]) -> Floats:
        """Put an output back into the middle of what the network was given.

        Parameters
        ----------
        array : ndarray of float32
            ``(1, k, *t)``.
        shape : tuple of int
            What the network was given.

        Returns
        -------
        ndarray of float32
            ``(1, k, *shape)``; zeros where it cut the border off.

        Raises
        ------
        ModelError
            If the network made more pixels than it was given.
        """
        missing = [n - have for n, have in zip(shape, array.shape[2:], strict=True)]
        if any(n < 0 for n in missing):
            raise ModelError(
                f"The network of '{self.card.name}' made {array.shape[2:]} pixels out of {shape}. Only networks that "
                "keep the size of the image, or cut its border off, can be used here."
            )
        return np.pad(array, [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in missing)]) if any(missing) else array


def _windows(
    shape: tuple[int, ...], size: tuple[int, ...], halo: tuple[int, ...]
) -> Iterator[tuple[Window, Window, Window]]:
    """Cut `shape` into windows of `size`: what is read, what is written, and where that lies in what was read."""
    axes = []
    for n, edge, rim in zip(shape, size, halo, strict=True):
        last = n - edge
        starts = sorted({*range(0, last, max(1, edge - 2 * rim)), last})
        cuts = [(a, a + (rim if a else 0), a + edge - (rim if a < last else 0)) for a in starts]
        axes.append([(slice(a, a + edge), slice(low, high), slice(low - a, high - a)) for a, low, high in cuts])
    for chosen in itertools.product(*axes):
        read, write, crop = zip(*chosen, strict=True)
        yield read, write, crop
