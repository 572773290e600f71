"""The verb ``segment`` on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ClusterError
from ..models.errand import errand_of
from ..models.stored import can_store, store_segmentation
from .checks import ask_steps
from .crew import DaskCrew

if TYPE_CHECKING:
    from distributed import Client

    from ..core.axes import Image
    from ..core.results import Segmentation
    from ..core.specs import SegmentSpec
    from ..core.steps import Looking, Steps

__all__ = ["segment_on_steps"]


def segment_on_steps(
    client: Client,
    image: Image,
    spec: SegmentSpec,
    output: Path,
    *,
    overwrite: bool = False,
    looking: Looking | None = None,
) -> Steps[tuple[Segmentation, str]]:
    """Find the objects of an image on the workers of a cluster.

    Parameters
    ----------
    client : Client
        Connected.
    image : Image
        From a file or an address that workers can open too.
    spec : SegmentSpec
        Settings.
    output : Path
        An OME-Zarr folder to write, on a disk that all workers share.
    overwrite, looking : bool, callable
        See :func:`~napari_unet.models.stored.store_segmentation`.

    Returns
    -------
    Segmentation
        The same as without a cluster.
    str
        Task of the model.

    Yields
    ------
    Progress
        One for every brick and every written part.

    Raises
    ------
    ClusterError
        If workers cannot do it, or are lost.
    UNetError
        See :func:`~napari_unet.models.stored.store_segmentation`.
    """
    errand = errand_of(image, spec, output)
    model = yield from ask_steps(client, errand)
    if not can_store(spec, model):
        raise ClusterError(
            "A cluster can find objects brick by brick only, and neither uncertainty nor objects that need the whole "
            "plane at once. Run this without a cluster."
        )
    steps = store_segmentation(image, spec, model, output, overwrite=overwrite, crew=DaskCrew(client, errand, looking))
    return (yield from steps), model.card.task
