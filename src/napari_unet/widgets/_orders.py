"""What a run was begun with, in the words of the dock."""

from __future__ import annotations

from typing import Any, Final

from napari_unet.core.errors import UNetError
from napari_unet.core.specs import SegmentSpec

from ._settings import LABELS, changed

__all__ = ["order_words"]

_ABOVE: Final = {
    "model": "Model", "diameter": "Object width", "min_size": "Smallest kept", "region": "Only inside",
}  # fmt: skip


def order_words(order: dict[str, Any]) -> str:
    """Say what a run was begun with; empty where that is not known.

    Parameters
    ----------
    order : dict
        What it is to do, see :class:`~napari_unet.io.driven.Driven`.

    Returns
    -------
    str
        Settings that differ from the usual ones, in the words of the dock, and what those in the dock are for.
    """
    try:
        told = _spec_words(SegmentSpec.of(**order["spec"]))
    except (KeyError, UNetError):
        return ""
    address, local = order.get("cluster") or ("", 0)
    where = f"; Scheduler: {address}" if address else f"; Local workers: {local}" if local else ""
    return f"This run was begun with {told}{where}. All else as usual. What the dock shows is for the next run."


def _spec_words(spec: SegmentSpec) -> str:
    flat: dict[str, Any] = {}
    for name, value in changed(spec).items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    if spec.region is not None:
        flat["region"] = f"{len(spec.region)} area{'s' * (len(spec.region) != 1)}"
    return "; ".join(f"{(LABELS | _ABOVE).get(name, name)}: {_word(value)}" for name, value in flat.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
