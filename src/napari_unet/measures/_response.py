"""How lesions have responded between two times, in the manner of RECIST 1.1. It is no diagnosis.

Who reads images chooses the targets, knows lymph nodes and judges what cannot be measured; here only diameters are
known.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from napari_unet.core.lengths import millimeters
from napari_unet.core.lesions import Response
from napari_unet.core.results import Table

from ._growth import followed
from ._totals import TARGETS

__all__ = ["respond"]

_MEASURABLE: Final = 10.0  # mm, of a target's longest diameter
_LESS: Final = -30.0  # percent of the sum: a partial response
_MORE: Final = 20.0  # percent of the sum: progression, if it is also so many millimeters:
_AT_LEAST: Final = 5.0
_ROUNDING: Final = 1e-9
_GONE: Final = "vanished"


def respond(changes: Table, unit: str) -> Response | None:
    """Put what has changed into a category (Eisenhauer et al., European Journal of Cancer 45:228-247, 2009).

    Targets are the five lesions with the longest diameters at first, of whatever classes, of those with 10 mm or more.
    Their diameters are summed up at both times: one that has vanished counts 0, what several have merged into counts
    once, and pieces that have split off from them are added. With two times the first one is also the smallest sum so
    far, to which progression refers. Lymph nodes, for which other limits hold, and organs, of which each has two
    targets at most, are not known here.

    Parameters
    ----------
    changes : dict of str to ndarray
        Of :func:`napari_unet.measures._growth.compare`.
    unit : str
        Of its diameters.

    Returns
    -------
    Response or None
        None if the unit is no length. ``PD``: a new lesion, or the sum has grown by 20 % and 5 mm or more; ``CR``: all
        lesions have vanished; ``PR``: the sum is 30 % or more smaller, or all targets have vanished and others have
        not; ``SD``: neither; ``NN`` (neither complete response nor progression): there is no target, and lesions are
        left.
    """
    size = millimeters(unit)
    if np.isnan(size):
        return None
    known: dict[str, Any] = dict(changes)
    first = np.nan_to_num(known["diameter_before"]) * size
    longest = np.argsort(-first, kind="stable")[:TARGETS]
    targets = longest[first[longest] >= _MEASURABLE - _ROUNDING]
    before = float(first[targets].sum())
    after = followed(changes, targets) * size
    old = known["status"][known["before"] > 0]
    new = int(np.count_nonzero(known["status"] == "new"))
    gone = bool((old == _GONE).all()), bool((known["status"][targets] == _GONE).all())
    classes = max(1, len(np.unique(known.get("class", ()))))
    return Response(_category(before, after, new, gone), len(targets), before, after, new, classes)


def _category(before: float, after: float, new: int, gone: tuple[bool, bool]) -> str:
    """Return the category; `gone` says whether all lesions have vanished, and whether all targets have."""
    change = 100 * (after - before) / before if before else 0.0
    if new or (change >= _MORE - _ROUNDING and after - before >= _AT_LEAST - _ROUNDING):
        return "PD"
    if gone[0]:
        return "CR"
    if not before:
        return "NN"
    return "PR" if gone[1] or change <= _LESS + _ROUNDING else "SD"
