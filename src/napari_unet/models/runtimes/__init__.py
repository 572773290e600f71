"""Runtimes: what computes a network's scores. Torch, torch with a compiler, OpenVINO, and OpenVINO in 8 bits.

An engine is made of a folded network and puts out scores. Which one is the user's choice and is kept in the record of a
run, because no two of them round alike: labels of one runtime are compared with labels of the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import ModelError
from ...core.runtimes import RUNTIMES
from ..devices import choose_device
from .eager import Eager
from .vino import Vino

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from torch import nn

    from ...core.model_card import ModelCard
    from ...tiling.grid import Ends

__all__ = ["Engine", "choose_runtime", "open_engine"]


class Engine(Protocol):
    """What a runtime makes of a network."""

    @property
    def precision(self) -> torch.dtype | str:
        """How exactly it computes."""

    @property
    def exact(self) -> bool:
        """Whether a score is the same to the last bit whatever tile and batch it is computed in."""

    @property
    def agreement(self) -> dict[str, float] | None:
        """How well it agrees with float32, where that was measured: see :func:`._agreement.agreement`."""

    def scores(self, batch: npt.NDArray[Any], inner: bool, ends: Ends = ()) -> npt.NDArray[Any]:
        """Compute scores of a batch, or of the inside of its tiles only: what has the whole margin around it.

        There is no margin where an image ends.
        """

    def stored(
        self, batch: npt.NDArray[Any], outputs: int, tables: npt.NDArray[Any] | None, inner: bool, ends: Ends = ()
    ) -> npt.NDArray[Any]:
        """Compute the first scores as they are stored; with tables, of an image's own values."""


def choose_runtime(wanted: str = "auto", device: str = "auto", ndim: int = 2) -> tuple[str, str]:
    """Return the runtime to use, and the device.

    Parameters
    ----------
    wanted : str
        ``"auto"``, which is ``"torch"``, or one of :data:`~napari_unet.core.runtimes.RUNTIMES`.
    device, ndim : str, int
        As for :func:`~napari_unet.models.devices.choose_device`.

    Returns
    -------
    runtime, device : str
        What was chosen.

    Raises
    ------
    ModelError
        If the runtime is unknown, the device is not there, or they do not go together.
    """
    runtime = "torch" if wanted == "auto" else wanted
    if runtime not in RUNTIMES:
        raise ModelError(f"The runtime '{wanted}' is unknown. Choose one of: auto, {', '.join(RUNTIMES)}.")
    if not runtime.startswith("openvino"):
        return runtime, choose_device(device, ndim)
    if device not in ("auto", "cpu"):
        raise ModelError(
            f"The runtime '{runtime}' computes on the processor, not on '{device}'. Choose the device 'cpu'."
        )
    return runtime, "cpu"


def open_engine(card: ModelCard, network: nn.Module, margin: tuple[int, ...], runtime: str, device: str) -> Engine:
    """Make an engine.

    Parameters
    ----------
    card : ModelCard
        Description of the model.
    network : torch.nn.Module
        Folded, in float32, on the processor; taken over.
    margin : tuple of int
        Pixels that a score needs around it, along every axis.
    runtime, device : str
        From :func:`choose_runtime`.

    Returns
    -------
    Engine
        Ready to compute.

    Raises
    ------
    MissingExtraError
        If the runtime's package is not installed.
    ModelError
        If the runtime cannot compute this network.
    """
    if runtime.startswith("openvino"):
        return Vino(card, network, margin, quantized=runtime.endswith("int8"))
    return Eager(card, network, margin, device, compiled=runtime.endswith("compile"))
