"""A model ready to run: folded, in the fastest precision that the device has, and the same for every tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..core.errors import ModelError
from ..core.model_card import ModelCard
from ..nets import halo, multiple
from ..nets._norm import fold
from ..targets import target
from ..tiling.grid import Ends, per_axis
from .devices import bfloat16_is_fast, choose_device
from .runtimes import choose_runtime, open_engine

__all__ = ["Model", "bfloat16_is_fast", "choose_device"]


class Model:
    """A trained network and what it knows of itself.

    Parameters
    ----------
    card : ModelCard
        Description.
    network : torch.nn.Module
        With its trained weights; folded here, so give a copy if it is trained on.
    device, runtime : str
        See :func:`~napari_unet.models.runtimes.choose_runtime`.

    Attributes
    ----------
    halo, multiple : int or tuple of int
        Context a score needs and the grid that tiles start on, pixels of the network's grid; one number for every axis
        where they differ.
    device, runtime : str
        What computes.
    """

    def __init__(self, card: ModelCard, network: nn.Module, device: str = "auto", runtime: str = "auto") -> None:
        self.card = card
        self.runtime, self.device = choose_runtime(runtime, device, card.net.ndim)
        self.halo, self.multiple = halo(card.net), multiple(card.net)
        self._margin = per_axis(self.halo, card.net.ndim)
        self._target = target(card.target)
        self._engine = open_engine(card, fold(network), self._margin, self.runtime, self.device)

    @property
    def precision(self) -> torch.dtype | str:
        """How exactly it computes."""
        return self._engine.precision

    @property
    def exact(self) -> bool:
        """Whether a score is the same to the last bit whatever tile and batch it is computed in."""
        return self._engine.exact

    @property
    def agreement(self) -> dict[str, float] | None:
        """How well it agrees with float32, where that was measured when it was loaded.

        ``foreground`` is the share of pixels that are foreground for both or for neither, ``difference`` the mean
        absolute difference of the scores; on simulated pictures.
        """
        return self._engine.agreement

    @property
    def outputs(self) -> int:
        """Number of score channels that the target decodes; the object size follows them."""
        return len(self._target.CHANNELS)

    def predict(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``, normalized, every spatial length a multiple of ``multiple``.
        ends : tuple of (bool, bool)
            Makes no difference here.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)`` in 0 to 1: the target's channels, then the object size (log scale).

        Raises
        ------
        ModelError
            If the number of channels is not the network's, or a graphics card has too little memory.
        """
        self._check(batch)
        return self._engine.scores(batch, inner=False)

    def predict_inner(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores only where they have their whole context, for tiles whose halo is cropped away afterwards.

        Parameters
        ----------
        batch : ndarray of float32
            As for :meth:`predict`.
        ends : tuple of (bool, bool)
            Edges where an image ends, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of float32
            The same, but 0 nearer than ``halo`` to an edge where no image ends. Takes a sixth less time for large
            tiles, and less than half for small or 3D ones.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        self._check(batch)
        shape = batch.shape[2:]
        if not self._has_inside(shape, ends):
            return self._engine.scores(batch, inner=False)
        inside = self._engine.scores(batch, inner=True, ends=ends)
        scores = np.zeros((*inside.shape[:2], *shape), np.float32)
        scores[(..., *(slice(low, -high or None) for low, high in self._rims(ends)))] = inside
        return scores

    def predict_stored(
        self, batch: npt.NDArray[Any], outputs: int, tables: npt.NDArray[np.float32] | None = None, ends: Ends = ()
    ) -> npt.NDArray[np.uint8]:
        """Compute scores as they are stored, only where they have their whole context.

        Parameters
        ----------
        batch : ndarray of float32, or of uint8 or uint16
            As for :meth:`predict`; or, with tables, values as stored in the image, of one channel or of all.
        outputs : int
            How many of the first channels are wanted.
        tables : ndarray of float32, shape (c, 256) or (c, 65536), optional
            What the values of each channel become when they are normalized.
        ends : tuple of (bool, bool)
            As for :meth:`predict_inner`.

        Returns
        -------
        ndarray of uint8
            ``(b, outputs, *(s - 2 * halo))``, 255 is a score of 1: the same as those of :meth:`predict_inner` when they
            are stored. ``(b, outputs, *s)`` where no score has its whole context.

        Raises
        ------
        ModelError
            As :meth:`predict`.
        """
        if tables is None:
            self._check(batch)
        return self._engine.stored(batch, outputs, tables, self._has_inside(batch.shape[2:], ends), ends)

    def _rims(self, ends: Ends) -> tuple[tuple[int, int], ...]:
        """Return how many pixels of a tile have not their whole context, at both ends of every axis."""
        known = ends or ((False, False),) * len(self._margin)
        return tuple(
            (0 if low else rim, 0 if high else rim) for rim, (low, high) in zip(self._margin, known, strict=True)
        )

    def _has_inside(self, shape: tuple[int, ...], ends: Ends) -> bool:
        return all(n > low + high for n, (low, high) in zip(shape, self._rims(ends), strict=True))

    def _check(self, batch: npt.NDArray[Any]) -> None:
        if batch.shape[1] != self.card.net.inputs:
            raise ModelError(
                f"The model '{self.card.name}' takes {self.card.net.inputs} channels but was given {batch.shape[1]}."
            )
