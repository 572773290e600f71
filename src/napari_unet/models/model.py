"""A model ready to run: folded, in the fastest precision that the device has, and the same for every tile.

Bit-identical scores whatever the tile and batch need three things of the arithmetic: one thread for each call (a
convolution split over several threads may add in another order), no choice of algorithm by trial, and none by size.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..core.errors import ModelError
from ..core.model_card import ModelCard
from ..nets import halo, multiple
from ..nets._norm import fold
from ..targets import target

__all__ = ["Model", "bfloat16_is_fast", "choose_device"]

_SMALL: Final = 20480  # values that enter a convolution, up to which torch takes another one
_FEW: Final = 8  # images convolved together; from 16 on torch takes another convolution


def choose_device(wanted: str = "auto") -> str:
    """Return the device to use.

    Parameters
    ----------
    wanted : str
        ``"auto"`` takes a graphics card if there is one; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    str
        A device of torch.

    Raises
    ------
    ModelError
        If the wanted device is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind, colon, number = wanted.partition(":")
    if not (number.isdecimal() if colon else not number) or int(number or 0) >= there.get(kind, 0):
        ready = ", ".join(k for k, count in there.items() if count)
        raise ModelError(f"The device '{wanted}' is not available here. Choose one of: auto, {ready}.")
    return wanted if kind == "cuda" else kind


def bfloat16_is_fast(device: str) -> bool:
    """Say whether `device` multiplies bfloat16 faster than float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device == "cpu" and any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


class Model:
    """A trained network and what it knows of itself.

    Parameters
    ----------
    card : ModelCard
        Description.
    network : torch.nn.Module
        With its trained weights; folded here, so give a copy if it is trained on.
    device : str
        See :func:`choose_device`.

    Attributes
    ----------
    halo, multiple : int
        Context a score needs and the grid that tiles start on, pixels of the network's grid.
    """

    def __init__(self, card: ModelCard, network: nn.Module, device: str = "auto") -> None:
        self.card, self.device = card, choose_device(device)
        self.halo, self.multiple = halo(card.net), multiple(card.net)
        self.precision = torch.bfloat16 if bfloat16_is_fast(self.device) else torch.float32
        self._target = target(card.target.name)
        layout: Any = torch.channels_last if card.net.ndim == 2 else torch.channels_last_3d
        moved = fold(network).to(device=self.device, dtype=self.precision)
        self._network = moved.to(memory_format=layout)  # type: ignore[call-overload]
        self._layout = layout

    @property
    def outputs(self) -> int:
        """Number of score channels that the target decodes; the object size follows them."""
        return len(self._target.CHANNELS)

    def predict(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``, normalised, every spatial length a multiple of ``multiple``.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)`` in 0 to 1: the target's channels, then the object size (log scale).

        Raises
        ------
        ModelError
            If the number of channels is not the network's.
        """
        if batch.shape[1] != self.card.net.inputs:
            raise ModelError(
                f"The model '{self.card.name}' takes {self.card.net.inputs} channels but was given {batch.shape[1]}."
            )
        threads = torch.get_num_threads()
        if self.device == "cpu" and threads != 1:
            torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                parts = [self._run(group)[: len(batch)] for group in self._groups(batch)]
        finally:
            if self.device == "cpu" and threads != 1:
                torch.set_num_threads(threads)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        x = torch.from_numpy(np.ascontiguousarray(batch)).to(device=self.device, dtype=self.precision)
        scores = self._target.activate(self._network(x.contiguous(memory_format=self._layout)).float())
        result: npt.NDArray[np.float32] = scores.contiguous().cpu().numpy()
        return result

    def _groups(self, batch: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Group a batch so that torch computes all groups alike.

        On a CPU and in float32 it convolves a single small image, and 16 or more images, by other algorithms than the
        rest (``use_mkldnn`` in its ``native/Convolution.cpp``), which round differently. So a small one is computed
        twice, and many are computed in parts.
        """
        if self.device != "cpu" or self.precision != torch.float32:
            return [batch]
        if len(batch) == 1:
            return [np.repeat(batch, 2, 0) if self._is_small(batch.shape[2:]) else batch]
        return list(np.array_split(batch, -(-len(batch) // _FEW)))

    def _is_small(self, shape: tuple[int, ...]) -> bool:
        spec = self.card.net
        entering = zip((spec.inputs, *spec.widths), spec.widths, strict=False)
        # torch counts the channels and the first two spatial axes of what enters a convolution, also in 3D.
        sizes = (min(c) * (shape[0] >> level) * (shape[1] >> level) for level, c in enumerate(entering))
        return min(sizes) <= _SMALL
