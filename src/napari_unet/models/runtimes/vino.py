"""OpenVINO on a processor, in bfloat16 where it has it, or in whole numbers of 8 bits.

One network is compiled for all sizes. Each call computes in the thread that makes it, so that work is shared out in one
place only, among the workers of a run. Whether scores depend on tile and batch is tried when a model is loaded.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...core.errors import MissingExtraError, ModelError
from ...core.model_card import ModelCard
from ...nets import multiple
from ...nets._inner import Inner
from ...targets import target
from ...tiling._quantised import quantised
from ...tiling.grid import Ends, per_axis
from ..devices import on_device, one_thread
from ._agreement import agreement, is_exact
from ._int8 import quantize
from ._scores import activated, looked_up, sent
from ._simulated import pictures

__all__ = ["Vino", "import_openvino"]

_TELEMETRY: Final = "openvino_telemetry"
_LEARN_FROM: Final = {2: 8, 3: 3}  # pictures that the steps of 8 bits are chosen on
_COMPARE_ON: Final = {2: 2, 3: 1}  # other pictures, that the agreement is measured on
_LEAST: Final = 0.98  # share of pixels that must agree with float32


def import_openvino() -> Any:
    """Import OpenVINO, without its habit to report its use.

    Returns
    -------
    module
        The package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    # Importing it tells its makers, unless its package for telling cannot be imported; then it does without.
    silenced = _TELEMETRY not in sys.modules
    if silenced:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "Computing with OpenVINO") from error
    finally:
        if silenced:
            del sys.modules[_TELEMETRY]


class Vino:
    """A network run by OpenVINO.

    Parameters
    ----------
    card : ModelCard
        Description of the model.
    network : torch.nn.Module
        Folded, in float32.
    margin : tuple of int
        Pixels that a score needs around it.
    quantized : bool
        Multiply whole numbers of 8 bits.

    Attributes
    ----------
    precision : str
        What it multiplies.
    exact : bool
        Whether scores were found to be the same to the last bit in other tiles and batches.
    agreement : dict of float
        See :func:`~napari_unet.models.runtimes._agreement.agreement`.

    Raises
    ------
    MissingExtraError
        If OpenVINO is not installed.
    ModelError
        If OpenVINO cannot compute the network, or 8 bits are too few for it.
    """

    def __init__(self, card: ModelCard, network: nn.Module, margin: tuple[int, ...], *, quantized: bool) -> None:
        openvino, spec = import_openvino(), card.net
        self._core, self._activate = openvino.Core(), target(card.target).activate
        self._margin, self._steps, self._channels = margin, per_axis(multiple(spec), spec.ndim), spec.inputs
        flat: Any = torch.channels_last if spec.ndim == 2 else torch.channels_last_3d
        inner = Inner(network, margin).eval().to(memory_format=flat)  # type: ignore[call-overload]
        # What is converted crops the same way always; where images end, there is nothing to crop.
        self._whole = card.closed
        try:
            self._model = _converted(openvino, inner, spec.inputs, self._steps, self._whole)
            if quantized:
                learn_from = pictures(card, margin, _LEARN_FROM[spec.ndim])
                self._model = quantize(openvino, self._model, learn_from)
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO {openvino.__version__} cannot compute the network of '{card.name}': {error}. "
                "Choose the runtime 'torch'."
            ) from error
        bfloat16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "int8" if quantized else "bfloat16" if bfloat16 else "float32"
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._idle: list[Any] = []
        self._lock = Lock()
        self.exact = is_exact(self._inside, spec.inputs, margin, self._steps)
        compare_on = pictures(card, margin, _COMPARE_ON[spec.ndim], first=_LEARN_FROM[spec.ndim])
        self.agreement = agreement(self._inside, lambda x: _in_float32(inner, x, self._activate), compare_on)
        if self.agreement["foreground"] < _LEAST:
            raise ModelError(
                f"With the runtime 'openvino{'-int8' * quantized}', '{card.name}' says the same as in float32 for only "
                f"{self.agreement['foreground']:.1%} of the pixels on this processor. Choose the runtime 'torch'."
            )

    def scores(self, batch: npt.NDArray[np.float32], inner: bool, ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, *s)``. Beyond its edges the image goes on as 0.
        inner : bool
            Leave out those in the margin.
        ends : tuple of (bool, bool)
            Where there is no margin, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of float32
            ``(b, k, *s)``, or with `inner` ``(b, k, *(s - 2 * margin))``.
        """
        if inner or self._whole:
            return on_device("cpu", self._inside, batch, ends if inner else ((True, True),) * len(self._margin))
        rims = [-(-rim // step) * step for rim, step in zip(self._margin, self._steps, strict=True)]
        padded = np.pad(batch, [(0, 0), (0, 0), *((rim, rim) for rim in rims)])
        scores = on_device("cpu", self._inside, padded)
        more = [rim - wanted for rim, wanted in zip(rims, self._margin, strict=True)]
        return scores[(..., *(slice(n, -n or None) for n in more))]

    def stored(
        self,
        batch: npt.NDArray[Any],
        outputs: int,
        tables: npt.NDArray[np.float32] | None,
        inner: bool,
        ends: Ends = (),
    ) -> npt.NDArray[np.uint8]:
        """Compute scores as they are stored; see :meth:`.eager.Eager.stored`."""
        if tables is not None:
            batch = looked_up(sent(batch), sent(tables), self._channels).numpy()
        return quantised(self.scores(batch, inner, ends)[:, :outputs])

    @torch.inference_mode()
    def _inside(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        with self._lend() as request:
            raw = request.infer([np.ascontiguousarray(batch)])[0]
        if self._whole:
            known = zip(self._margin, ends or ((False, False),) * len(self._margin), strict=True)
            raw = raw[(..., *(slice(0 if low else rim, None if high else -rim or None) for rim, (low, high) in known))]
        with one_thread("cpu"):
            found: npt.NDArray[np.float32] = activated(torch.from_numpy(raw), self._activate).numpy()
            return found

    @contextmanager
    def _lend(self) -> Iterator[Any]:
        """Hand out a compiled network that no other thread is using; one that is shared would make them wait."""
        with self._lock:
            request = self._idle.pop() if self._idle else None
        request = request or self._core.compile_model(self._model, "CPU", self._settings).create_infer_request()
        try:
            yield request
        finally:
            with self._lock:
                self._idle.append(request)


def _converted(openvino: Any, inner: Inner, inputs: int, steps: tuple[int, ...], whole: bool) -> Any:
    """Convert a network for tiles of all sizes, to put out all scores or those of the inside."""
    sizes = [(2 * rim // step + 2) * step for rim, step in zip(inner.margin, steps, strict=True)]
    with warnings.catch_warnings(), torch.enable_grad():
        # Tracing is to go from torch, but what shall replace it takes twenty times as long for free sizes.
        warnings.simplefilter("ignore")
        # With gradients, pooling is one operation; checking would go through it again without.
        trace: Any = torch.jit.trace
        traced = trace(inner.network if whole else inner, torch.zeros(2, inputs, *sizes), check_trace=False)
        return openvino.convert_model(traced)


def _in_float32(inner: Inner, batch: npt.NDArray[np.float32], activate: Any) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = activated(inner(torch.from_numpy(batch)), activate).numpy()
        return found
