"""What one level of the encoder-decoder computes: choices of ``NetSpec.block``."""

from __future__ import annotations

import torch
from torch import nn

from ..core.specs import NetSpec
from ._norm import BatchRenorm

__all__ = ["block", "conv", "up"]

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def conv(ndim: int, inputs: int, outputs: int, size: int = 3, *, bias: bool = True) -> nn.Module:
    """Return a padded convolution with He initialisation (He et al. 2015, eq. 10)."""
    layer = _CONV[ndim](inputs, outputs, size, padding=size // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def up(ndim: int, inputs: int, outputs: int) -> nn.Module:
    """Return the 2015 paper's up-convolution: transposed, kernel 2, stride 2."""
    return _UP[ndim](inputs, outputs, 2, stride=2)


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.relu(self.body(x) + self.shortcut(x))
        return result


def block(spec: NetSpec, inputs: int, outputs: int) -> nn.Module:
    """Return the block of one level.

    Parameters
    ----------
    spec : NetSpec
        Gives the kind of block, the dimensions and the number of convolutions.
    inputs, outputs : int
        Feature channels.

    Returns
    -------
    torch.nn.Module
        Convolution, batch renormalisation and ReLU, repeated; residual adds a shortcut (He et al. 2016).
    """
    layers: list[nn.Module] = []
    for i in range(spec.convolutions):
        layers += [
            conv(spec.ndim, outputs if i else inputs, outputs, bias=False),
            BatchRenorm(outputs),
            nn.ReLU(inplace=True),
        ]
    if spec.block == "plain":
        return nn.Sequential(*layers)
    shortcut = nn.Identity() if inputs == outputs else conv(spec.ndim, inputs, outputs, 1)
    return _Residual(nn.Sequential(*layers[:-1]), shortcut)
