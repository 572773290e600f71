"""How weights follow their gradients: Muon for the kernels of convolutions, AdamW for everything else.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") moves a matrix in the direction of
its averaged gradient with all singular values made equal, so that what only few of them speak for is learned as fast as
the rest: a network comes as far as with AdamW in a fraction of the steps (``benchmarks/optimizer.py``). A kernel is a
matrix of one row for each of its first axis, as there. torch's own Muon takes only matrices and computes in 16 bits,
which processors do slowly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import nn

__all__ = ["Muon", "Optimizer", "orthogonal"]

_ROUNDS: Final = 5  # of the iteration
_POLYNOMIAL: Final = (3.4445, -4.7750, 2.0315)  # of the iteration, Jordan et al. 2024
_MATCH: Final = 0.2  # about the root mean square of AdamW's steps, Liu et al. 2025, eq. 4
_KERNEL: Final = 3  # axes from which on a parameter is a kernel


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Make the singular values of a matrix about equal.

    Parameters
    ----------
    matrix : Tensor
        Float ``(rows, columns)``.

    Returns
    -------
    Tensor
        Float32 of the same shape, with singular values between about 0.7 and 1.2; of those that were next to 0,
        smaller ones. Newton-Schulz iteration of the fifth order (Jordan et al. 2024).
    """
    a, b, c = _POLYNOMIAL
    tall = matrix.shape[0] > matrix.shape[1]
    x: torch.Tensor = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    # Every round is a product from the left: they are gathered in the smaller of the two spaces and applied once.
    square = x @ x.T
    whole = square
    for number in range(_ROUNDS):
        turn = b * square + c * square @ square
        turn.diagonal().add_(a)
        whole = turn @ whole if number else turn
        if number < _ROUNDS - 1:
            square = turn @ square @ turn
    x = whole @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal; with Nesterov's look ahead and decoupled weight decay.

    Parameters
    ----------
    kernels : list of Parameter
        Of two or more axes; the first one is that of the rows.
    lr : float
        Learning rate. A step changes a weight by a fifth of it, on average (Liu et al. 2025, "Muon is scalable for LLM
        training", eq. 4).
    weight_decay : float
        Times the learning rate, what is taken from a weight at each step.
    momentum : float
        What is kept of the averaged gradient at each step.
    """

    def __init__(
        self, kernels: list[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.9
    ) -> None:
        super().__init__(kernels, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all kernels that have a gradient."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is not None:
                    self._move(kernel, kernel.grad, group)

    def _move(self, kernel: torch.Tensor, slope: torch.Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[kernel]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(slope)
        kept = state["momentum"].lerp_(slope, 1 - group["momentum"])
        matrix = slope.lerp(kept, group["momentum"]).reshape(len(slope), -1)
        length = group["lr"] * _MATCH * max(matrix.shape) ** 0.5
        kernel.mul_(1 - group["lr"] * group["weight_decay"])
        kernel.add_(orthogonal(matrix).reshape(kernel.shape), alpha=-length)


class Optimizer:
    """Muon and AdamW for the weights of one network.

    Parameters
    ----------
    network : Module
        Whose weights are moved.
    rate, weight_decay : float
        Of both.
    fused : bool
        Whether AdamW moves all its weights at once.
    """

    def __init__(self, network: nn.Module, rate: float, weight_decay: float, fused: bool = True) -> None:
        weights = list(network.parameters())
        kernels = [each for each in weights if each.ndim >= _KERNEL]
        others = [each for each in weights if each.ndim < _KERNEL]
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if kernels:
            self._parts["muon"] = Muon(kernels, rate, weight_decay)
        if others:
            self._parts["adamw"] = torch.optim.AdamW(others, lr=rate, weight_decay=weight_decay, fused=fused)

    def step(self, rate: float | None = None) -> None:
        """Move the weights, at another rate if one is given."""
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = group["lr"] if rate is None else rate
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts.values():
            part.zero_grad(set_to_none=True)

    def memories(self) -> Iterator[torch.Tensor]:
        """Yield all that is remembered from step to step."""
        for part in self._parts.values():
            for state in part.state.values():
                yield from state.values()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` takes."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Say whether a state is that of an optimizer of this kind."""
        return state.keys() == self._parts.keys()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what another one remembers, as its :meth:`state_dict` returned it."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
