"""What a process must know of a run to work on it: names and settings, no pixels and no weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..core.axes import Image
from ..core.errors import ClusterError
from ..core.specs import SegmentSpec
from ..io.addresses import as_address, origin_of
from ..io.choosing import run_folder, work_folder
from ..io.images import read_image
from ..tiling.fingerprint import fingerprint, without_unknown

__all__ = ["Errand", "errand_of", "open_source", "source_of"]

_SIZES: Final = ("scale", "units", "start")  # of an image, as it knows them


@dataclass(frozen=True)
class Errand:
    """A run, as it is told to a process.

    Attributes
    ----------
    output : str
        Where the labels are to be in the end; every process sees that folder.
    source : str or sequence of str
        File or address of the image; of one whose channels are files of their own, one for each.
    axes : str
        Its axes.
    spec : dict
        Fields of :class:`~napari_unet.core.specs.SegmentSpec`, as JSON holds them; models are named, not sent.
    scale, units, start : sequence of float, of str, of float
        The size of its pixels and where they lie, which may have been told otherwise than the file tells it.
    image : dict
        What the image is, see :func:`~napari_unet.tiling.fingerprint.fingerprint`.
    work : str
        Where the run is kept if its labels go to an object store, a folder that every process sees; else empty.
    """

    output: str
    source: str | Sequence[str]
    axes: str
    spec: dict[str, Any]
    scale: Sequence[float]
    units: Sequence[str]
    start: Sequence[float]
    image: dict[str, Any]
    work: str = ""

    @property
    def name(self) -> str:
        """A short name that no other run has."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def place(self) -> Path:
        """Where the labels are to be in the end."""
        return Path(self.output)

    @property
    def run_folder(self) -> Path:
        """Where the run is kept."""
        return run_folder(self.place, self.work)

    @property
    def settings(self) -> SegmentSpec:
        """The settings as they were."""
        return SegmentSpec.of(**self.spec)

    def open_image(self) -> Image:
        """Open the image, and see that it is the one.

        Returns
        -------
        Image
            Not loaded.

        Raises
        ------
        ClusterError
            If it is another one.
        ImageError
            If it cannot be read.
        """
        return open_source(asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def errand_of(image: Image, spec: SegmentSpec, output: Path) -> Errand:
    """Say what other processes must know of a run.

    Parameters
    ----------
    image : Image
        As it was read from a file or an address.
    spec : SegmentSpec
        Settings; models that are folders are named by their whole path.
    output : Path
        An OME-Zarr folder to write.

    Returns
    -------
    Errand
        To be sent.

    Raises
    ------
    ClusterError
        If other processes cannot open the image, or the labels are to be no OME-Zarr.
    """
    if output.suffix.lower() != ".zarr":
        raise ClusterError(
            f"Several processes cannot write '{output.name}' together. Give an output that ends in .ome.zarr."
        )
    if not image.source:
        raise ClusterError(
            f"'{image.name}' is in the memory of this program, where other processes cannot see it. Write it to a file "
            "first (OME-Zarr suits best), and open that."
        )
    address = as_address(output)
    if address and address.startswith("memory:"):
        raise ClusterError(f"'{address}' is the memory of one process. Give a folder or an address that all can reach.")
    place, work = address or os.path.realpath(output), str(work_folder()) if address else ""
    return Errand(output=place, work=work, image=fingerprint(image), **source_of(image, spec))


def source_of(image: Image, spec: SegmentSpec) -> dict[str, Any]:
    """Say where a run takes everything from, so that it can be gone on with by whoever finds it.

    Parameters
    ----------
    image, spec : Image, SegmentSpec
        Of the run.

    Returns
    -------
    dict
        Fields of an :class:`Errand`, from ``source`` to ``start``; the source is empty for an image in memory.
    """
    models = [str(Path(name).resolve()) if Path(name).is_dir() else name for name in spec.models]
    told = spec.model_dump(mode="json") | {"model": models[0] if len(models) == 1 else models}
    sizes = {name: list(getattr(image, name)) for name in _SIZES}
    return {"source": origin_of(image), "axes": image.axes, "spec": told, **sizes}


def open_source(told: Mapping[str, Any]) -> Image:
    """Open the image of a run as it was where the run was begun.

    Parameters
    ----------
    told : mapping
        From :func:`source_of`; perhaps with ``image``, see :class:`Errand`.

    Returns
    -------
    Image
        Not loaded. Its pixels have the size and the place that were told, not those of the file.

    Raises
    ------
    ClusterError
        If it is another one.
    ImageError
        If it cannot be read.
    """
    image = read_image(told["source"], told["axes"])
    if "image" in told and without_unknown(told["image"], fingerprint(image)) != told["image"]:
        raise ClusterError(
            f"'{image.source}' is another image here than where the run was begun. All processes must see the same "
            "files under the same names; what was changed in the viewer must be saved first."
        )
    sizes: dict[str, Any] = {name: tuple(told[name]) for name in _SIZES if name in told}
    return replace(image, **sizes)
