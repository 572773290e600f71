"""How a model works on an image brick by brick: what is measured once, how the work is cut, how objects are found."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.results import MAPS
from ..core.specs import SegmentSpec, TargetSpec
from ..core.steps import Looking
from ..io.journal import Journal as Folder
from ..targets import explorer, grower
from ..tiling._brick_jobs import Finding, Jobs, Journal, Sink
from ..tiling.care import Care
from ..tiling.statistics import Statistics
from ..tiling.stream import Plan, stream
from ..tiling.where import choose_where
from ._doubts import doubt_intensities
from ._scorer import Predict, Scorer, inner
from .rules import decode_stored, object_rule
from .segment import draft_plan, plan_run, sized

__all__ = ["Alone", "Crew", "Work", "begin", "can_store", "prepare", "share_left"]


def can_store(spec: SegmentSpec, model: Scorer) -> bool:
    """Say whether labels can be written while they are found.

    Parameters
    ----------
    spec : SegmentSpec
        Settings of a run.
    model : Scorer
        Which network, or several as one.

    Returns
    -------
    bool
        False for runs that also put out maps, such as confidence, and for objects that need the whole plane at once.
    """
    return not any(getattr(spec, name) for name in MAPS) and explorer(model.card.target) is not None


@dataclass(frozen=True)
class Work:
    """All that is needed to work on an image, but for where to note what is done and where labels go.

    Attributes
    ----------
    plan : Plan
        How to score.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s).
    finding : Finding
        How to find objects.
    diameter : float
        Object size, image pixels.
    rule : TargetSpec
        How scores become objects.
    """

    plan: Plan
    predict: Predict
    finding: Finding
    diameter: float
    rule: TargetSpec

    def jobs(self, journal: Journal, sink: Sink) -> Jobs:
        """Return the jobs that do it."""
        return Jobs(self.plan, self.predict, self.finding, journal, sink)


class Crew(Protocol):
    """Who does the work of a run, and where somebody looks meanwhile."""

    @property
    def looking(self) -> Looking | None:
        """See :func:`~napari_unet.tiling.bricked.segment_bricks`; where there is one, pieces to show are wanted."""

    def begin(self, image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
        """Measure what is measured once, and choose how the work is cut; see :func:`begin`."""

    def jobs(self, work: Work, journal: Journal, sink: Sink) -> Jobs:
        """Return the jobs that do it."""

    def hands(self, next_job: Callable[[], Callable[[], Any] | None], workers: int, /) -> Generator[Any, None, None]:
        """Do jobs; see :func:`~napari_unet.tiling._threads.stream`."""


class Alone:
    """The threads of this process.

    Parameters
    ----------
    looking : callable, optional
        See :func:`~napari_unet.tiling.bricked.segment_bricks`.
    """

    def __init__(self, looking: Looking | None = None) -> None:
        self.looking = looking

    def begin(self, image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
        """Measure and choose here."""
        return begin(image, spec, model)

    def jobs(self, work: Work, journal: Journal, sink: Sink) -> Jobs:
        """Return jobs that compute where they are called."""
        return work.jobs(journal, sink)

    def hands(self, next_job: Callable[[], Callable[[], Any] | None], workers: int, /) -> Generator[Any, None, None]:
        """Call jobs in threads."""
        return stream(next_job, workers)


def begin(image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
    """Measure what is measured once, and choose how the work is cut: both stay as they are until the run is done.

    Parameters
    ----------
    image, spec, model : Image, SegmentSpec, Scorer
        Of the run.

    Returns
    -------
    dict
        JSON-like; for :func:`prepare`.

    Raises
    ------
    AxesError, ImageError
        If the image does not fit the model or cannot be read.
    """
    plan, diameter = plan_run(image, spec, model)
    planes = image.planes(plan.ndim)
    grid = plan.grid(planes[0].shape, len(planes))
    doubt = doubt_intensities(image, plan, model.card)
    return {
        "statistics": plan.statistics.to_dict(), "diameter": diameter, "tile": list(grid.edges), "tiles": len(grid),
        "planes": len(planes), **({"doubt": doubt} if doubt else {}),
    }  # fmt: skip


def prepare(
    image: Image, spec: SegmentSpec, model: Scorer, begun: Mapping[str, Any], care: Care, preview: bool = False
) -> Work:
    """Say how the work of a run is done.

    Parameters
    ----------
    image, spec, model : Image, SegmentSpec, Scorer
        Of the run.
    begun : mapping
        From :func:`begin`.
    care : Care
        What is learned about the device.
    preview : bool
        Whether tiles are decoded by themselves too, to be shown.

    Returns
    -------
    Work
        For :func:`~napari_unet.tiling.bricked.segment_bricks`.

    Raises
    ------
    OutputError
        If objects of this kind cannot be found brick by brick.
    """
    statistics, diameter = Statistics.from_dict(begun["statistics"]), float(begun["diameter"])
    plan = sized(replace(draft_plan(image, spec, model), statistics=statistics), model, diameter)
    plan = replace(plan, edges=tuple(begun["tile"]), care=care)
    plan = replace(plan, where=choose_where(spec, image, plan))
    rule, smallest = object_rule(spec, model, diameter, image)
    explore = explorer(rule)
    if explore is None:
        raise OutputError(f"Objects of the kind '{rule.name}' cannot be written brick by brick. Write a .tif file.")
    shown = partial(decode_stored, rule, smallest) if preview else None
    found = partial(_explored, partial(explore, grow=grower(model.device)), rule)
    least = () if isinstance(smallest, tuple) else rule.least(smallest)
    finding = Finding(found, rule.level, smallest, least, shown)
    return Work(plan, care.timed(inner(model)), finding, diameter, rule)


def share_left(journal: Folder, begun: Mapping[str, Any]) -> float:
    """Return the share of a run's tiles that are left to do, from 1 (all) to 0.

    Parameters
    ----------
    journal : Journal
        Of the run, in a folder.
    begun : mapping
        From :func:`begin`.

    Returns
    -------
    float
        Planes and bricks that are finished do not count.
    """
    tiles, planes = int(begun.get("tiles", 0)), int(begun.get("planes", 1))
    done = journal.count("plane") * tiles + journal.count("forest")
    return max(0.0, 1 - done / (tiles * planes)) if tiles else 1.0


def _explored(explore: Any, rule: Any, scores: Any, window: Any, shape: Any) -> Any:
    return explore(scores, rule, window, shape)
