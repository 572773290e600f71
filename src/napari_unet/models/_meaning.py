"""What the channels of a foreign network mean: told by the user, by their names, or by their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import ModelError
from ..core.registry import names, resolve
from ..core.specs import TargetSpec
from ..targets import target

__all__ = ["CLASSES", "Meaning", "find_meaning", "is_probability"]

CLASSES: Final = "classes"  # the target of classes of pixels
_SIZE: Final = "size"
_KINDS: Final = {
    "background": re.compile(r"back ?ground|\bbg\b|outside"),
    "boundary": re.compile(r"bound|border|edge|contour|membrane|outline"),
    "foreground": re.compile(r"fore ?ground|\bfg\b|mask|nucle|cell|interior|inside|object|probab"),
}
_SLACK: Final = 0.01  # by which a probability may leave 0 to 1, and a sum of probabilities miss 1


@dataclass(frozen=True)
class Meaning:
    """What a network's channels are.

    Attributes
    ----------
    target : TargetSpec
        How objects are found in them.
    scores : tuple of tuple of int
        As in :class:`~napari_unet.core.foreign.ForeignSpec`.
    size : int or None
        The channel that says how large objects are.
    """

    target: TargetSpec
    scores: tuple[tuple[int, ...], ...]
    size: int | None = None


def is_probability(values: npt.NDArray[Any]) -> bool:
    """Say whether values lie in 0 to 1, as far as can be seen."""
    return bool(values.min() >= -_SLACK and values.max() <= 1 + _SLACK)


def find_meaning(channels: Sequence[str], values: npt.NDArray[np.float32], wanted: str | None = None) -> Meaning:
    """Find out what a network's channels mean.

    Parameters
    ----------
    channels : sequence of str
        Their names; empty ones where nothing is known.
    values : ndarray of float32
        What the network puts out for some image, ``(c, *s)``.
    wanted : str, optional
        Entry of ``targets/`` that the user says it is.

    Returns
    -------
    Meaning
        For its card.

    Raises
    ------
    ModelError
        If it cannot be told, or the network has fewer channels than the target.
    RegistryError
        If there is no such target.
    """
    said = [re.sub(r"[\W_]+", " ", name).strip().lower() for name in channels]
    wanted = resolve("targets", wanted) if wanted else None
    if wanted == CLASSES and len(values) > 1:
        return _classes(channels, said, len(values))
    found = _as_wanted(said, values, wanted) if wanted else _by_name(said) or _by_value(values)
    if found is None:
        raise ModelError(
            f"It is not known what the {len(values)} channels of this network mean"
            + (f" ({', '.join(channels)})" if any(channels) else "")
            + f". Say it with target=..., on the command line --target; one of: {', '.join(names('targets'))}."
        )
    return found


def _classes(channels: Sequence[str], said: Sequence[str], count: int) -> Meaning:
    """Take every channel for a class; the background is the one that is called so, the first where none has a name."""
    known = bool(said) and all(said) and len(set(channels)) == count
    outside = [i for i, name in enumerate(said) if _KINDS["background"].search(name)] if known else [0]
    inside = [i for i in range(count) if i not in outside[:1]]
    names = tuple(channels[i] if known else f"class {number}" for number, i in enumerate(inside, 1))
    rule = TargetSpec.of(name=CLASSES, classes=names, background=bool(outside))
    return Meaning(rule, tuple((i,) for i in (*outside[:1], *inside)))


def _as_wanted(said: Sequence[str], values: npt.NDArray[np.float32], name: str) -> Meaning:
    if found := next((m for m in (_by_name(said), _by_value(values)) if m and m.target.name == name), None):
        return found
    have, wanted = len(values), target(name).CHANNELS
    if name == "foreground" and (fields := _kinds(said)) and "foreground" in fields:
        return _meaning(name, ((fields["foreground"],),))
    if have < len(wanted):
        raise ModelError(
            f"The target '{name}' needs {len(wanted)} channels ({', '.join(wanted)}); this network has {have}. "
            "Choose another target."
        )
    return _meaning(name, tuple((i,) for i in range(len(wanted))), len(wanted) if have == len(wanted) + 1 else None)


def _by_name(said: Sequence[str]) -> Meaning | None:
    """Read the channels' names: those of a target of this program, or what other programs call theirs."""
    for name in names("targets"):
        wanted = [channel.replace("_", " ") for channel in target(name).CHANNELS]
        if list(said[: len(wanted)]) == wanted and said[len(wanted) :] in ([], [_SIZE]):
            return _meaning(name, tuple((i,) for i in range(len(wanted))), len(wanted) if _SIZE in said else None)
    fields = _kinds(said)
    if fields is None:
        return None
    inside, edge, outside = (fields.get(kind) for kind in ("foreground", "boundary", "background"))
    if inside is None and edge is None:
        return None if outside is None else _meaning("foreground", ((-1 - outside,),))
    if edge is None:
        return _meaning("foreground", ((inside or 0,),))
    if inside is None:
        return _meaning("boundary", ((-1 - (edge if outside is None else outside),), (edge,)))
    # Of three classes that exclude each other, an object is what is not background.
    return _meaning("boundary", ((inside,) if outside is None else (inside, edge), (edge,)))


def _kinds(said: Sequence[str]) -> dict[str, int] | None:
    """Return which channel is which kind, or None unless each is another one."""
    fields: dict[str, int] = {}
    for i, name in enumerate(said):
        kind = next((kind for kind, pattern in _KINDS.items() if pattern.search(name)), None)
        if kind is None or kind in fields:
            return None
        fields[kind] = i
    return fields


def _by_value(values: npt.NDArray[np.float32]) -> Meaning | None:
    """Tell one channel, classes that exclude each other, or the pair that is customary at bioimage.io."""
    exclusive = is_probability(values) and bool(np.abs(values.sum(axis=0) - 1).max() <= _SLACK)
    if len(values) == 1:
        return _meaning("foreground", ((0,),))
    if exclusive and len(values) == 2:
        return _meaning("foreground", ((1,),))
    if exclusive and len(values) == 3:
        return _meaning("border", ((1, 2), (1,)))
    return _meaning("boundary", ((0,), (1,))) if len(values) == 2 else None


def _meaning(name: str, scores: tuple[tuple[int, ...], ...], size: int | None = None) -> Meaning:
    # Nothing is dropped for being small: how large the objects of a foreign network are is not known.
    return Meaning(TargetSpec(name=name, min_fraction=0.0 if size is None else 0.05), scores, size)
