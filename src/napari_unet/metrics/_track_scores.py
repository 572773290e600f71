"""How well tracks agree with the truth: the scores of the Cell Tracking Challenge.

SEG, DET and TRA are those of Ulman et al. 2017 (Nature Methods 14:1141) and Matula et al. 2015 (PLOS ONE 10:e0144959),
LNK that of Maska et al. 2023 (Nature Methods 20:1010), CHOTA that of Kaiser et al. 2024 (arXiv 2408.11571), BC(i) the
F1 of divisions that are right within i frames. They are counted as the program py-ctcmetrics counts them, from sparse
tables instead of square ones, so that a movie of many cells can be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_unet.core.axes import Image
from napari_unet.core.results import Annotation, Tracks, TrackScores
from napari_unet.core.steps import Steps

from ._annotated import score_annotations
from ._track_divisions import TOLERANCES, compare
from ._track_errors import list_errors
from ._track_matches import Matches, match

__all__ = ["score_tracks"]

# Matula et al. 2015, table 1: what it costs to put a mistake right.
_SPLIT: Final = 5.0
_ADD: Final = 10.0
_DELETE: Final = 1.0
_UNLINK: Final = 1.0
_LINK: Final = 1.5
_RENAME: Final = 1.0
_AT_ONCE: Final = 100_000

Ints = npt.NDArray[np.int64]


def score_tracks(
    result: tuple[Tracks, Image], truth: tuple[Tracks, Image], annotations: Sequence[Annotation] = ()
) -> Steps[TrackScores]:
    """Compare tracks with the truth.

    Parameters
    ----------
    result, truth : tuple of Tracks and Image
        Tracks and the masks that they link.
    annotations : sequence of Annotation
        True masks by which SEG is judged; where there are none, by those of the truth.

    Returns
    -------
    TrackScores
        ``SEG``, ``DET``, ``TRA``, ``LNK``, ``CHOTA``, ``BC`` (divisions in the right frame) and ``BC(1)`` to ``BC(3)``,
        and the list of errors.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    ImageError
        If the movies do not have the same shape, or hold no labels.
    """
    found, true = result[0], truth[0]
    matches = yield from match(result, truth)
    links, kinds = _links(true)
    made, made_kinds = _links(found)
    # Links are judged between objects that are one true object each.
    known = (matches.true[made] >= 0).all(axis=1)
    count = len(true.nodes["t"])
    wanted, got = links @ np.array([count, 1]), matches.true[made[known]] @ np.array([count, 1])
    order = np.argsort(wanted)
    at = order[np.minimum(np.searchsorted(wanted, got, sorter=order), max(len(wanted) - 1, 0))] if len(wanted) else got
    right = wanted[at] == got if len(wanted) else np.zeros(len(got), np.bool_)
    false = made[known][~right]
    missed = np.setdiff1d(np.arange(len(links)), at[right])
    renamed = int((kinds[at[right]] != made_kinds[known][right]).sum())
    divisions = compare(found, true, matches)
    scores = _matula(matches, (len(missed), len(false), renamed), len(links))
    if annotations:
        scores["SEG"] = yield from score_annotations(result[1], annotations)
    scores |= {"CHOTA": _chota(found, true, matches)}
    scores |= {f"BC({i})" if i else "BC": divisions.score(i) for i in TOLERANCES}
    listed = false[~_bridges(found, true, matches, false)]
    return TrackScores(scores, list_errors((found, true), matches, (listed, links[missed]), divisions))


def _links(tracks: Tracks) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return the edges that count, and which lead to another number in a folder of the challenge.

    There a track that goes on after a gap has another number, as daughters have. What was read from such a folder says
    its numbers; within one of them no link spans a gap.
    """
    track, t = (tracks.nodes[name].astype(np.int64) for name in ("track", "t"))
    above, below = tracks.edges[:, 0], tracks.edges[:, 1]
    new = (track[above] != track[below]) | (t[below] - t[above] > 1)
    if "number" in tracks.nodes:
        number = tracks.nodes["number"].astype(np.int64)
        new = number[above] != number[below]
    # Of two that merge, the first is the parent.
    first = np.ones(len(below), np.bool_)
    first[1:] = below[1:] != below[:-1]
    counts = (new & first) | (t[below] - t[above] == 1)
    return tracks.edges[counts], np.asarray(new[counts])


def _bridges(found: Tracks, true: Tracks, matches: Matches, links: Ints) -> npt.NDArray[np.bool_]:
    """Say which links close a gap in one true track: the object that is missed there is the error to look at."""
    t = found.nodes["t"].astype(np.int64)
    wide = t[links[:, 1]] - t[links[:, 0]] > 1
    above, below = true.nodes["track"][matches.true[links]].T
    return np.asarray(wide & (above == below))


def _matula(matches: Matches, links: tuple[int, int, int], wanted: int) -> dict[str, float]:
    missed, false, renamed = links
    there = matches.guess >= 0
    lost, extra = int((~there).sum()), int((matches.true == -1).sum())
    split = int(there.sum()) - int((matches.true != -1).sum())
    objects = _SPLIT * split + _ADD * lost + _DELETE * extra
    linking = _LINK * missed + _UNLINK * false + _RENAME * renamed
    return {
        "SEG": _mean(matches.iou),
        "DET": _one_minus(objects, _ADD * len(there)),
        "TRA": _one_minus(objects + linking, _ADD * len(there) + _LINK * wanted),
        "LNK": _one_minus(linking, _LINK * wanted),
    }


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _one_minus(cost: float, whole: float) -> float:
    return 1 - min(cost, whole) / whole if whole else float("nan")


def _chota(found: Tracks, true: Tracks, matches: Matches) -> float:
    """Kaiser et al. 2024, eq. 4: every match counts by how much of its two families is matched too."""
    own, other = true.nodes["track"].astype(np.int64), found.nodes["track"].astype(np.int64)
    some = matches.guess >= 0
    lost, extra = own[~some], other[~np.isin(np.arange(len(other)), matches.guess[some])]
    everything = len(own) + len(extra)
    if not everything:
        return float("nan")
    rows = np.concatenate([own[some], lost, np.zeros(len(extra), np.int64)])
    columns = np.concatenate([other[matches.guess[some]], np.zeros(len(lost), np.int64), extra])
    shape = (int(own.max(initial=0)) + 1, int(other.max(initial=0)) + 1)
    table = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
    mine, theirs = (_families(tracks, n) for tracks, n in zip((true, found), shape, strict=True))
    common = mine @ table
    in_truth, in_result = np.asarray(common.sum(axis=1)), np.asarray(theirs @ table.sum(axis=0))
    pairs = table.tocoo()
    both = (pairs.row > 0) & (pairs.col > 0)
    i, j, times = pairs.row[both], pairs.col[both], pairs.data[both]
    total = 0.0
    for start in range(0, len(i), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        shared = np.asarray(common[i[part]].multiply(theirs[j[part]]).sum(axis=1))
        total += float((times[part] * shared / (in_truth[i[part]] + in_result[j[part]] - shared)).sum())
    return float(np.sqrt(total / everything))


def _families(tracks: Tracks, count: int) -> Any:
    """Return a table of tracks that says which are the same, an ancestor or a descendant."""
    parent = np.zeros(count, np.int64)
    parent[tracks.nodes["track"]] = tracks.nodes["parent"]
    here = np.flatnonzero(np.bincount(tracks.nodes["track"], minlength=count))
    rows, columns, above = [here], [here], parent[here]
    while (above > 0).any():
        here, above = here[above > 0], above[above > 0]
        rows += [here, above]
        columns += [above, here]
        above = parent[above]
    places = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.ones(len(places[0])), places), shape=(count, count)).tocsr()
