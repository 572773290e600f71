"""The verbs ``measure``, ``track`` and ``evaluate`` on a cluster: the same numbers, bit by bit, as without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.errors import ClusterError
from ..core.steps import Progress, followed
from ..io.addresses import as_address
from ..measures._around import add_rings, grow
from ..measures._inside import SharedParts
from ..measures._parts import Parts
from ..measures.objects import tabulate
from ..metrics._judging import conclude
from ..models.motion import gather_motion
from ..tiling._brick_jobs import Waited
from ..tracking._detect import spatial_axes
from ..tracking.lap import link
from .checks import call_all, check_alike, check_devices, check_workers
from .chores import Chore, measure_motion, source_of, try_chore
from .hands import Hands
from .orders import Order

if TYPE_CHECKING:
    from distributed import Client

    from ..core.axes import Image
    from ..core.linking import LinkSpec
    from ..core.results import Table, Tracks
    from ..core.specs import SegmentSpec
    from ..core.steps import Steps

__all__ = ["compare_on_steps", "evaluate_on_steps", "measure_on_steps", "track_on_steps"]

_AT_ONCE: Final = 8  # frames of a job at most: the frame before the first is read twice
_FOR_EACH: Final = 4  # jobs for each thread at least, so that none waits for another at the end


def measure_on_steps(client: Client, labels: Image, image: Image | None, around: float = 0.0) -> Steps[Table]:
    """Measure all objects on the workers of a cluster.

    Parameters
    ----------
    client : Client
        Connected.
    labels, image : Image
        From files that workers can open too; see :func:`~napari_unet.measures.objects.measure`.
    around : float
        Measure the rings around objects, too, and how far these reach in the unit of the labels; 0: do not.

    Returns
    -------
    dict of str to ndarray
        The same as :func:`~napari_unet.measures.objects.measure`, and with `around` as
        :func:`~napari_unet.measures._around.add_rings`.

    Yields
    ------
    Progress
        One for every part.

    Raises
    ------
    ClusterError
        If workers cannot do it, or are lost.
    UNetError
        See :func:`~napari_unet.measures.objects.measure`.
    """
    parts = Parts(labels, image)
    chore = Chore(source_of(labels, True), None if image is None else source_of(image, False))
    yield from _asked(client, chore)
    of = len(parts) * (2 if around else 1)
    orders = ((number, "measure", (number,)) for number in range(len(parts)))
    yield from _done(Hands(client, chore), orders, parts.add, (0, of, "Measuring the objects"))
    table = tabulate(labels, parts)
    if not around:
        return table
    # Workers open the file anew: what it does not say of its pixels is told.
    chore = replace(chore, around={"distance": around, "scale": list(labels.scale)})
    parts = Parts(grow(labels, around, ring=True), image)
    orders = ((number, "measure", (number,)) for number in range(len(parts)))
    yield from _done(Hands(client, chore), orders, parts.add, (of // 2, of, "Measuring around the objects"))
    return add_rings(table, labels, parts)


def compare_on_steps(client: Client, labels: Image, other: Image) -> Steps[list[Table]]:
    """Count the pixels that objects of two labels share on the workers of a cluster.

    Parameters
    ----------
    client : Client
        Connected.
    labels, other : Image
        From files that workers can open too; see :class:`~napari_unet.measures._inside.SharedParts`.

    Returns
    -------
    list of dict of ndarray
        See :meth:`~napari_unet.measures._inside.SharedParts.tables`.

    Yields
    ------
    Progress
        One for every part.

    Raises
    ------
    ClusterError
        If workers cannot do it, or are lost.
    UNetError
        See :class:`~napari_unet.measures._inside.SharedParts`.
    """
    parts = SharedParts(labels, other)
    chore = Chore(source_of(labels, True), other=source_of(other, True))
    yield from _asked(client, chore)
    orders = ((number, "compare", (number,)) for number in range(len(parts)))
    yield from _done(Hands(client, chore), orders, parts.add, (0, len(parts), f"Comparing with {other.name}"))
    return parts.tables()


def track_on_steps(
    client: Client, labels: Image, spec: LinkSpec, image: Image | None = None, network: SegmentSpec | None = None
) -> Steps[Tracks]:
    """Follow objects through time; frames are read, and their motion is foretold, on the workers of a cluster.

    Parameters
    ----------
    client : Client
        Connected.
    labels, spec, image : Image, LinkSpec, Image
        See :func:`~napari_unet.tracking.lap.link`; from files that workers can open too.
    network : SegmentSpec, optional
        The model that foretells motion.

    Returns
    -------
    Tracks
        The same as :func:`~napari_unet.tracking.lap.link`.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    ClusterError
        If workers cannot do it, or are lost.
    UNetError
        See :func:`~napari_unet.tracking.lap.link` and :func:`~napari_unet.models.motion.foretell`.
    """
    spatial_axes(labels)
    count = labels.along("t")[0][0]
    chore = Chore(
        source_of(labels, True),
        None if image is None else source_of(image, False),
        None if network is None else network.model_dump(mode="json"),
    )
    yield from _asked(client, chore)
    told = (yield from followed(_foretold(client, chore, count), "linking")) if network else None
    hands = Hands(client, chore)
    size = max(1, min(_AT_ONCE, count // max(1, _FOR_EACH * hands.threads)))
    frames: list[Any] = [None] * count

    def keep(first: int, found: list[Any]) -> None:
        frames[first : first + len(found)] = found

    orders = (
        (first, "detect", (first, stop, told and told[first:stop]))
        for first, stop in ((at, min(at + size, count)) for at in range(0, count, size))
    )
    yield from _done(hands, orders, keep, (0, 2 * count, "Reading frames"), size)
    return (yield from link(labels, spec, image, gather_motion(told) if told else None, frames))


def _foretold(client: Client, chore: Chore, count: int) -> Steps[list[Any]]:
    yield Progress(0, 0, "Measuring the movie")
    measured = Hands(client, chore).answer(measure_motion, chore)
    chore = Chore(chore.labels, chore.image, chore.model, measured)
    found: list[Any] = [None] * count
    orders = ((t, "foretell", (t,)) for t in range(count))
    yield from _done(Hands(client, chore), orders, found.__setitem__, (0, count, "Foretelling motion"))
    return found


def evaluate_on_steps(
    client: Client,
    pairs: Sequence[tuple[Any, Any]],
    metrics: Sequence[str],
    options: dict[str, Any],
    binary: bool = False,
) -> Steps[dict[str, float]]:
    """Compare labels with the truth, pair by pair, on the workers of a cluster.

    Parameters
    ----------
    client : Client
        Connected.
    pairs : sequence of (path, path)
        Files, or addresses, of true and predicted labels.
    metrics, options, binary : sequence of str, dict, bool
        See :func:`~napari_unet.metrics._judging.judge`.

    Returns
    -------
    dict of float
        The same scores as without a cluster.

    Yields
    ------
    Progress
        One for every pair.

    Raises
    ------
    ClusterError
        If workers cannot do it, or are lost, or the labels are no files.
    UNetError
        As the metrics say.
    """
    named = [(_place(a), _place(b)) for a, b in pairs]
    chore = Chore()
    yield from _asked(client, chore, named[0])
    counted: list[Any] = [None] * len(named)
    orders = ((n, "judge", (pair, tuple(metrics), options, binary)) for n, pair in enumerate(named))
    yield from _done(Hands(client, chore), orders, counted.__setitem__, (0, len(named), "Comparing"))
    return conclude(metrics, counted)


def _asked(client: Client, chore: Chore, pair: tuple[str, str] | None = None) -> Steps[None]:
    """See that all workers can do it; a ClusterError says which cannot, and why."""
    yield Progress(0, 0, "Asking the workers")
    check_workers(client)
    if chore.model is None:
        call_all(client, try_chore, chore, pair)
        return
    who = check_devices(client, str(chore.model["device"]))
    check_alike(call_all(client, try_chore, chore, pair, workers=who))


def _place(labels: Any) -> str:
    """Name a file or an address of labels for other processes."""
    place = labels if isinstance(labels, str | Path) else getattr(labels, "source", "")
    if not place:
        raise ClusterError(
            "Labels in the memory of this program cannot be seen by other processes. Give files, or compare without a "
            "cluster."
        )
    return as_address(str(place)) or str(Path(place).resolve())


def _done(
    hands: Hands,
    orders: Iterator[tuple[int, str, tuple[Any, ...]]],
    keep: Callable[[int, Any], None],
    shown: tuple[int, int, str],
    each: int = 1,
) -> Steps[None]:
    """Have orders done, and keep what they bring by its number, in whatever order it comes."""

    def next_job() -> Callable[[], Order] | None:
        if (order := next(orders, None)) is None:
            return None
        number, verb, words = order
        return partial(Order, verb, words, str(number), lambda answer: (number, answer))

    done, total, note = shown
    jobs = hands.work(next_job)
    try:
        for result in jobs:
            if isinstance(result, Waited):
                yield Progress(done, total, result.words)
                continue
            keep(*result)
            done = min(done + each, total)
            yield Progress(done, total, note)
    finally:
        jobs.close()
