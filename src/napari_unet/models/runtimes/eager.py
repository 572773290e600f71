"""Torch, operation by operation, or compiled.

On a processor, scores that are bit-identical whatever the tile and batch need three things of the arithmetic: one
thread for each call (a convolution split over several threads may add in another order), no choice of algorithm by
trial, and none by size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import local
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...core.errors import ModelError
from ...core.model_card import ModelCard
from ...core.steps import check_stopped
from ...nets import multiple
from ...nets._inner import Inner
from ...targets import target
from ...tiling.grid import Ends, per_axis
from ..devices import fast_precision, on_device, one_thread
from ._scores import activated, fetched, looked_up, sent, stored

__all__ = ["Eager"]

_SMALL: Final = 20480  # values that enter a convolution, up to which torch takes another one
_FEW: Final = 8  # images convolved together; from 16 on torch takes another convolution
_Part = tuple[bool, Ends]  # whether only the inside is wanted, and where there is no margin
Finish = Callable[[torch.Tensor], torch.Tensor]
_CONVOLUTIONS: Final = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class _Seen(local):
    """Sizes of what has entered convolutions, for each thread."""

    def __init__(self) -> None:
        self.sizes: list[int] = []


class Eager:
    """A network run by torch.

    Parameters
    ----------
    card : ModelCard
        Description of the model.
    network : torch.nn.Module
        Folded, in float32; taken over.
    margin : tuple of int
        Pixels that a score needs around it.
    device : str
        Where.
    compiled : bool
        Let torch's compiler make one program of it. It may round differently for other sizes, so it is nowhere exact.

    Raises
    ------
    ModelError
        If the compiler does not work here.
    """

    agreement: dict[str, float] | None = None

    def __init__(
        self, card: ModelCard, network: nn.Module, margin: tuple[int, ...], device: str, *, compiled: bool = False
    ) -> None:
        self.device, self._channels = device, card.net.inputs
        # Libraries for graphics cards choose among algorithms by size, and do not say which round alike.
        self.exact = device == "cpu" and not compiled
        self._activate = target(card.target).activate
        self._small: dict[tuple[Any, ...], bool] = {}
        self._seen = _Seen()
        flat: Any = torch.channels_last if card.net.ndim == 2 else torch.channels_last_3d
        self._layout = torch.contiguous_format if device == "mps" else flat
        self._inner = Inner(network, margin)
        on_device(device, self._place, fast_precision(device))
        for part in network.modules() if not compiled else ():
            if isinstance(part, _CONVOLUTIONS):
                part.register_forward_pre_hook(_stop_between)
                if self.exact:
                    part.register_forward_pre_hook(self._note)
        self._forward: Any = torch.compile(self._run, dynamic=True) if compiled else self._run
        if compiled:
            self._try(card, margin)

    def _place(self, precision: torch.dtype) -> None:
        self.precision = precision
        self._inner.to(device=self.device, dtype=precision)
        self._inner.to(memory_format=self._layout)  # type: ignore[call-overload]

    def _try(self, card: ModelCard, margin: tuple[int, ...]) -> None:
        steps = per_axis(multiple(card.net), card.net.ndim)
        sizes = [step * (2 * rim // step + 2) for step, rim in zip(steps, margin, strict=True)]
        try:
            self.scores(np.zeros((2, card.net.inputs, *sizes), np.float32), inner=True)
        except RuntimeError as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"torch's compiler does not work here: {first} It needs a C++ compiler, or Triton for a graphics card. "
                "Choose the runtime 'torch'."
            ) from error

    def scores(self, batch: npt.NDArray[np.float32], inner: bool, ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``.
        inner : bool
            Leave out those in the margin.
        ends : tuple of (bool, bool)
            Where there is no margin, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)``, or with `inner` ``(b, k, *(s - 2 * margin))``.
        """
        return self._compute(batch, (inner, ends), lambda raw: activated(raw, self._activate))

    def stored(
        self,
        batch: npt.NDArray[Any],
        outputs: int,
        tables: npt.NDArray[np.float32] | None,
        inner: bool,
        ends: Ends = (),
    ) -> npt.NDArray[np.uint8]:
        """Compute scores as they are stored.

        Parameters
        ----------
        batch : ndarray of float32, or of uint8 or uint16
            ``(b, c, *s)``; with tables, as stored in the image, of one channel or of all.
        outputs : int
            How many of the first channels are wanted.
        tables : ndarray of float32 or None
            ``(c, n)``: what the values of each channel become when they are normalized.
        inner : bool
            Leave out those in the margin.
        ends : tuple of (bool, bool)
            Where there is no margin.

        Returns
        -------
        ndarray of uint8
            ``(b, outputs, *s)``, or with `inner` ``(b, outputs, *(s - 2 * margin))``.
        """
        return self._compute(batch, (inner, ends), lambda raw: stored(raw, self._activate, outputs), tables)

    def _compute(
        self, batch: npt.NDArray[Any], part: _Part, finish: Finish, tables: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[Any]:
        if not self.exact:
            return on_device(self.device, self._launch, batch, part, finish, tables)()
        if tables is not None:
            with one_thread(self.device):
                batch = looked_up(sent(batch), sent(tables), self._channels).numpy()
        if self.precision != torch.float32:
            return on_device(self.device, self._launch, batch, part, finish)()
        return on_device(self.device, self._compute_alike, batch, part, finish)

    def _compute_alike(self, batch: npt.NDArray[np.float32], part: _Part, finish: Finish) -> npt.NDArray[Any]:
        """Compute so that whatever is in a batch together, and of whatever size, is rounded alike."""
        if len(batch) > 1:
            # Torch convolves 16 images and more by another algorithm, which rounds differently.
            groups = np.array_split(batch, -(-len(batch) // _FEW))
            parts = [self._launch(group, part, finish)() for group in groups]
            return np.concatenate(parts) if len(parts) > 1 else parts[0]
        # And a single small one (``use_mkldnn`` in its ``native/Convolution.cpp``), which is therefore computed twice.
        key = (*batch.shape, part)
        if self._small.get(key, False):
            return self._launch(np.repeat(batch, 2, 0), part, finish)()[:1]
        scores = self._launch(batch, part, finish)()
        if key not in self._small:
            self._small[key] = min(self._seen.sizes) <= _SMALL
            return self._compute_alike(batch, part, finish) if self._small[key] else scores
        return scores

    def _note(self, module: nn.Module, entering: tuple[torch.Tensor, ...]) -> None:
        """Note how many values enter a convolution, as torch counts them: channels and two spatial axes, also in 3D."""
        self._seen.sizes.append(math.prod(entering[0].shape[1:4]))

    @torch.inference_mode()
    def _launch(
        self, batch: npt.NDArray[Any], part: _Part, finish: Finish, tables: npt.NDArray[np.float32] | None = None
    ) -> Callable[[], npt.NDArray[Any]]:
        """Have a batch computed; what is returned waits for it."""
        self._seen.sizes.clear()
        with one_thread(self.device):
            x = sent(batch, self.device)
            if tables is not None:
                x = looked_up(x, sent(tables, self.device), self._channels)
            x = x.to(self.precision).contiguous(memory_format=self._layout)
            return fetched(finish(self._forward(x, part)))

    def _run(self, x: torch.Tensor, part: _Part) -> torch.Tensor:
        inner, ends = part
        scores: torch.Tensor = self._inner(x, ends) if inner else self._inner.network(x)
        return scores


def _stop_between(module: nn.Module, entering: tuple[torch.Tensor, ...]) -> None:
    """End a stopped run between two convolutions: a whole tile may take seconds."""
    check_stopped()
