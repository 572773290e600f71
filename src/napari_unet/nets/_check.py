"""Choices that do not go together are refused before anything is built."""

from __future__ import annotations

from typing import Final

from ..core.errors import SpecError
from ..core.specs import NetSpec

__all__ = ["check"]

_HALVED: Final = 2


def check(spec: NetSpec, *unused: str) -> None:
    """Refuse what cannot be built.

    Parameters
    ----------
    spec : NetSpec
        Of any architecture.
    *unused : str
        Fields that mean nothing for this architecture; they must be left at their defaults.

    Raises
    ------
    SpecError
        If choices do not go together.
    """
    for name in unused:
        default = NetSpec.model_fields[name].default
        if getattr(spec, name) != default:
            raise SpecError(
                f"{name} means nothing for the architecture '{spec.architecture}'. Leave it at {default!r}."
            )
    if spec.heads and sum(spec.heads) != spec.outputs:
        raise SpecError(
            f"The heads {spec.heads} put out {sum(spec.heads)} channels together, but the network has {spec.outputs}: "
            "those of the target and one for the object size. Give heads that add up to that."
        )
    if spec.doubling and spec.block == "residual":
        raise SpecError("Residual blocks cannot double their width inside. Set doubling to false, or block to 'plain'.")
    if spec.doubling and min(spec.widths) < _HALVED:
        raise SpecError(
            f"A level {min(spec.widths)} wide has no half width. Set doubling to false, or give widths of 2."
        )
    if spec.skip == "attention" and spec.architecture == "nested":
        raise SpecError("U-Net++ has no gates: its skips are networks themselves. Set skip to 'concat' or 'add'.")
    if spec.padding == "valid" and (spec.down != "pool" or spec.skip == "attention"):
        raise SpecError("Unpadded networks need down = 'pool' and skips without attention. Or set padding to 'same'.")
    if spec.prune and not spec.deep_supervision:
        raise SpecError(
            "Only a network trained with deep supervision can be pruned. Set deep_supervision, or prune to 0."
        )
