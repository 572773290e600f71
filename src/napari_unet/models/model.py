"""A model ready to run: folded, in the fastest precision that the device has, and the same for every tile.

Bit-identical scores whatever the tile and batch need two things of the arithmetic: one thread for each call (a
convolution split over several threads may add in another order) and no choice of algorithm by trial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..core.errors import ModelError
from ..core.specs import ModelCard
from ..nets import halo, multiple
from ..nets._norm import fold
from ..targets import target

__all__ = ["Model", "bfloat16_is_fast", "choose_device"]


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
    return wanted


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
                x = torch.from_numpy(np.ascontiguousarray(batch)).to(device=self.device, dtype=self.precision)
                scores = self._target.activate(self._network(x.contiguous(memory_format=self._layout)).float())
                result: npt.NDArray[np.float32] = scores.contiguous().cpu().numpy()
        finally:
            if self.device == "cpu" and threads != 1:
                torch.set_num_threads(threads)
        return result
