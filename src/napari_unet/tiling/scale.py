"""How large are the objects? Measured once for the whole image by the network's own size channel.

The network is shown samples of the image at several magnifications. At each it says, for every foreground pixel, how
large the object is that the pixel belongs to. Where few objects are seen, more samples are taken. Two magnifications
that agree are enough; else more are tried. The one whose answer is nearest to the size that the network knows best is
believed, and it is asked again at exactly the magnification that it implies, until the answer confirms itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .grid import Span, per_axis
from .stream import Plan, count_workers, read_net

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from .grid import Ends
    from .scoring import Predict

    SizeOf = Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]

__all__ = ["measure_diameter"]

_FIRST: Final = (0.4, 1.0)
_MORE: Final = (0.125, 0.2, 2.0)
_AGREE: Final = 0.35  # octaves
_NEAR: Final = 0.1  # octaves by which a magnification may miss the implied one and still be believed as it is
_ROUNDS: Final = 3  # how often it is asked again at most
_WINDOW: Final = {2: 192, 3: 96}  # net pixels along an edge of a sample
_SAMPLES: Final = 4  # samples of a magnification that are looked at together
_TURNS: Final = 4  # how often so many are taken at most, until enough objects were seen
_ENOUGH: Final = 10.0  # objects; more at one magnification have no more say
_FEWEST: Final = 0.5  # objects' worth of foreground below which a magnification has no say


def measure_diameter(
    planes: Sequence[Plane], plan: Plan, predict: Predict, canonical: float, size_of: SizeOf
) -> float | None:
    """Measure the typical object size of an image.

    Parameters
    ----------
    planes : sequence of Plane
        All planes, with the channels that are used.
    plan : Plan
        As for scoring; its factor is ignored.
    predict : callable
        float32 ``(b, c, *s)`` to ``(b, k, *s)``: foreground first, size last.
    canonical : float
        Object size that the network knows best, net pixels.
    size_of : callable
        Turns size scores into net pixels.

    Returns
    -------
    float or None
        Median diameter in image pixels, each object counted once; None where no object was seen.
    """
    with ThreadPoolExecutor(count_workers(plan.tiling)) as pool:

        def estimate(factor: float) -> tuple[float, float]:
            here = replace(plan, factor=(factor,) * plan.ndim)
            sizes, answer = np.zeros(0), (0.0, 0.0)
            for samples in _samples(planes, here):
                jobs = [pool.submit(_look, sample, here, predict) for sample in samples]
                sizes = np.concatenate([sizes, *(size_of(job.result()) for job in jobs)])
                answer = _typical(sizes, plan.ndim)
                if answer[1] >= _ENOUGH:
                    break
            return answer

        def look(factors: Sequence[float]) -> list[_Answer]:
            answers = [_Answer(factor, *estimate(factor)) for factor in factors]
            return [answer for answer in answers if answer.count >= _FEWEST]

        seen = look(_FIRST)
        if len(seen) < len(_FIRST) or not seen[0].agrees(seen[1], _AGREE):
            seen += look(_MORE)
        if not seen:
            return None
        return _settled(_believed(seen, canonical), canonical, look)


def _settled(best: _Answer, canonical: float, look: Callable[[Sequence[float]], list[_Answer]]) -> float:
    """Ask again at the magnification that an answer implies, until an answer confirms itself.

    Objects that are far from the size the network knows are misjudged; the answer given nearest to that size counts.
    """
    asked = [best]
    for _ in range(_ROUNDS):
        implied = canonical * best.factor / best.size
        if abs(math.log2(implied / best.factor)) < _NEAR:
            break
        again = look([implied])
        if not again:
            break
        best = again[0]
        asked.append(best)
        if best.agrees(asked[-2], _AGREE):
            break
    else:
        best = min(asked, key=lambda answer: abs(math.log2(answer.size / canonical)))
    return best.size / best.factor


@dataclass(frozen=True)
class _Answer:
    """At magnification `factor`, `count` objects' worth of foreground said `size` net pixels."""

    factor: float
    size: float
    count: float

    def agrees(self, other: _Answer, octaves: float) -> bool:
        """Say whether both mean about the same size in the image."""
        return abs(math.log2(self.size / self.factor * other.factor / other.size)) <= octaves


_Sample = tuple["Plane", list[Span], "Ends"]


def _believed(seen: Sequence[_Answer], canonical: float) -> _Answer:
    """Return the answer that most objects support; among equals the one nearest to what the network knows best."""
    # A lot of small debris must not outvote two magnifications that agree: no answer counts for more than enough.
    support = [sum(min(other.count, _ENOUGH) for other in seen if answer.agrees(other, 2 * _AGREE)) for answer in seen]
    strong = [answer for answer, value in zip(seen, support, strict=True) if value >= 0.8 * max(support)]
    return min(strong, key=lambda answer: abs(math.log2(answer.size / canonical)))


def _samples(planes: Sequence[Plane], plan: Plan) -> list[list[_Sample]]:
    """Spread samples evenly over planes and space, turn by turn, the same for the same image."""
    lengths = [max(1, math.ceil(n * f)) for n, f in zip(planes[0].shape, plan.factor, strict=True)]
    window = _WINDOW[plan.ndim]
    counts = [-(-length // window) for length in lengths]
    total = len(planes) * math.prod(counts)
    # A step of the golden ratio that shares no factor with the total visits other rows and columns every time.
    step = next(s for s in range(max(1, round(0.618 * total)), 2 * total + 2) if math.gcd(s, total) == 1)
    visits = [(total // 2 + k * step) % total for k in range(min(_TURNS * _SAMPLES, total))]
    turns = [sorted(visits[start : start + _SAMPLES]) for start in range(0, len(visits), _SAMPLES)]
    halos, multiples = per_axis(plan.halo, plan.ndim), per_axis(plan.multiple, plan.ndim)

    def sample(number: int) -> _Sample:
        plane, at = divmod(number, math.prod(counts))
        spans, ends = [], []
        for length, place, halo, multiple in zip(lengths, np.unravel_index(at, counts), halos, multiples, strict=True):
            low, high = int(place) * window, min((int(place) + 1) * window, length)
            start = (low - halo) // multiple * multiple
            stop = -(-(high + halo) // multiple) * multiple
            end = -(-length // multiple) * multiple
            at_ends = (plan.closed and start <= 0, plan.closed and stop >= end)
            ends.append(at_ends)
            spans.append(Span(0 if at_ends[0] else start, end if at_ends[1] else stop))
        return planes[plane], spans, tuple(ends)

    return [[sample(number) for number in turn] for turn in turns]


def _look(sample: _Sample, plan: Plan, predict: Predict) -> npt.NDArray[np.float32]:
    """Return the size scores of the foreground of one sample."""
    plane, spans, ends = sample
    batch = np.empty((1, plan.inputs, *(s.size for s in spans)), np.float32)
    batch[0] = read_net(plane, spans, plan)
    scores = predict(batch, *((ends,) if plan.closed else ()))[0]
    halos = zip(per_axis(plan.halo, plan.ndim), ends, strict=True)
    inner = tuple(slice(0 if low else halo, None if high else -halo or None) for halo, (low, high) in halos)
    foreground = scores[(0, *inner)] > 0.5
    found: npt.NDArray[np.float32] = scores[(-1, *inner)][foreground]
    return found[found > 0]  # a network that does not tell sizes says 0


def _typical(sizes: npt.NDArray[np.float64], ndim: int) -> tuple[float, float]:
    """Return the median size of objects, and how many objects' worth of pixels there are.

    A pixel of an object of n pixels counts 1 / n, so that large objects do not outvote small ones.
    """
    if not sizes.size:
        return 0.0, 0.0
    weight = 1 / ({2: np.pi / 4, 3: np.pi / 6}[ndim] * sizes**ndim)
    order = np.argsort(sizes, kind="stable")
    total = np.cumsum(weight[order])
    return float(sizes[order][np.searchsorted(total, total[-1] / 2)]), float(total[-1])
