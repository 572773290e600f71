"""Who does a run: the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .bench import Shared
from .hands import Hands
from .orders import Errands
from .remote import measure

if TYPE_CHECKING:
    from distributed import Client

    from ..core.axes import Image
    from ..core.specs import SegmentSpec
    from ..core.steps import Looking
    from ..models._bricks import Work
    from ..models._scorer import Scorer
    from ..models.errand import Errand
    from ..tiling._brick_jobs import Jobs, Journal, Sink

__all__ = ["DaskCrew"]


class DaskCrew:
    """The workers of a dask cluster, as who does a run.

    Parameters
    ----------
    client : Client
        Connected.
    errand : Errand
        The run that they work on.
    looking : callable, optional
        See :func:`~napari_unet.tiling.bricked.segment_bricks`.
    """

    def __init__(self, client: Client, errand: Errand, looking: Looking | None = None) -> None:
        self.errand, self.looking, self._hands = errand, looking, Hands(client, errand)

    def begin(self, image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
        """Have one worker measure what is measured once: with the device that computes."""
        threads = self._hands.threads
        found: dict[str, Any] = self._hands.answer(measure, self.errand, threads)
        return found

    def jobs(self, work: Work, journal: Journal, sink: Sink) -> Jobs:
        """Return jobs that are done by workers."""
        shared = Shared(self.errand.run_folder)
        return Errands(work.plan, work.predict, work.finding, journal, sink, shared)

    def hands(self, next_job: Callable[[], Callable[[], Any] | None], _: int, /) -> Generator[Any, None, None]:
        """Have jobs done; see :meth:`~napari_unet.cluster.hands.Hands.work`."""
        return self._hands.work(next_job)
