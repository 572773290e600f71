"""Into a network and out of it: values as an image has them, and scores as they are used or stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from ...tiling._quantised import quantised

__all__ = ["activated", "fetched", "looked_up", "rounded_there", "sent", "stored"]

_LANES: Final = 64  # values that a processor's vector instructions take together, at most
Activate = Callable[[Any], Any]


def activated(raw: torch.Tensor, activate: Activate) -> torch.Tensor:
    """Bring raw scores ``(b, k, *s)`` of any precision and layout into 0 to 1 (float32), each as if it stood alone.

    On a processor torch computes the last values of a tensor, those that do not fill its vector instructions, by
    another formula. So rows are filled up, and no score is among the last.
    """
    length = raw.shape[-1]
    filled = torch.empty((*raw.shape[:-1], -(-length // _LANES) * _LANES), dtype=torch.float32, device=raw.device)
    filled[..., :length] = raw
    filled[..., length:] = 0
    scores: torch.Tensor = activate(filled)[..., :length]
    return scores


def stored(raw: torch.Tensor, activate: Activate, outputs: int) -> torch.Tensor:
    """Make of raw scores ``(b, k, *s)`` the first of those that are stored ``(b, outputs, *s)``: uint8, 255 for 1."""
    scores = activated(raw, activate)[:, :outputs]
    return torch.from_numpy(quantised(scores.numpy())) if scores.device.type == "cpu" else rounded_there(scores)


def rounded_there(scores: torch.Tensor) -> torch.Tensor:
    """Do the same as :func:`~napari_unet.tiling._quantised.quantised`, on whatever device."""
    return scores.mul(255).round_().clamp_(0, 255).nan_to_num_(0).to(torch.uint8)


def looked_up(values: torch.Tensor, tables: torch.Tensor, channels: int) -> torch.Tensor:
    """Normalize whole numbers ``(b, c, *s)`` by a table ``(c, n)``; a single channel is repeated."""
    rows = [table[part & (len(table) - 1)] for table, part in zip(tables, values.int().unbind(1), strict=True)]
    found = torch.stack(rows, 1)
    return found.expand(-1, channels, *found.shape[2:]) if found.shape[1] == 1 else found


def sent(batch: npt.NDArray[Any], device: str = "cpu") -> torch.Tensor:
    """Move an array to a device; a graphics card of NVIDIA's need not be waited for."""
    # Not all devices have whole numbers of 16 bits without a sign.
    x = torch.from_numpy(np.ascontiguousarray(batch.view(np.int16) if batch.dtype == np.uint16 else batch))
    return x.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else x.to(device)


def fetched(scores: torch.Tensor) -> Callable[[], npt.NDArray[Any]]:
    """Have scores brought to memory; what is returned waits for them, in whatever thread it is called.

    The thread of a graphics card can send it the next batch meanwhile.
    """
    if scores.device.type != "cuda":
        return scores.cpu().numpy
    here = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
    here.copy_(scores, non_blocking=True)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(scores.device))

    def wait() -> npt.NDArray[Any]:
        done.synchronize()
        found: npt.NDArray[Any] = here.numpy()
        return found

    return wait
