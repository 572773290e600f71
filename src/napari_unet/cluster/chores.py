"""Work of the other verbs, as workers are told of it: files by name, and what is done with them part by part.

What comes back is tables of objects. Pixels are read where they are counted.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core.axes import Image
from ..core.errors import ClusterError, ImageError
from ..core.specs import SegmentSpec
from ..io.addresses import origin_of
from ..io.images import read_image
from ..io.labels import read_labels
from ..io.pairs import read_judged
from ..measures._around import grow
from ..measures._inside import SharedParts
from ..measures._parts import Parts, Sums
from ..metrics._judging import judge
from ..models import motion
from ..models.motion import Foretold, Seer
from ..models.zoo import load_model
from ..tiling.fingerprint import fingerprint
from ..tracking._detect import Frame, detect_some
from .told import Told, check_models, tell

__all__ = ["Bench", "Chore", "Source", "measure_motion", "source_of", "try_chore"]


@dataclass(frozen=True)
class Source:
    """An image or labels that every process can open.

    Attributes
    ----------
    place : str or list of str
        File or address; of an image whose channels are files of their own, one for each.
    axes : str
        The axes that are seen.
    labels : bool
        Whether it is opened as labels.
    seen : dict
        See :func:`~napari_unet.tiling.fingerprint.fingerprint`.
    """

    place: str | list[str]
    axes: str
    labels: bool
    seen: dict[str, Any]

    def open(self) -> Image:
        """Open it, and see that it is the one.

        Returns
        -------
        Image
            Not loaded, if it is large.

        Raises
        ------
        ClusterError
            If it is another one.
        ImageError
            If it cannot be read.
        """
        for axes in (None, self.axes):  # files that say their axes may store them in another order
            try:
                image = read_labels(str(self.place), axes) if self.labels else read_image(self.place, axes)
            except ImageError:
                if axes:
                    raise
                continue
            if fingerprint(image) == self.seen:
                return image
        raise ClusterError(
            f"'{self.place}' is another file here than where the command was given. All processes must see the same "
            "file under the same name."
        )


def source_of(image: Image, labels: bool) -> Source:
    """Say where processes find an image.

    Parameters
    ----------
    image : Image
        As it was read.
    labels : bool
        Whether it was read as labels.

    Returns
    -------
    Source
        To be sent.

    Raises
    ------
    ClusterError
        If it is in memory only.
    """
    if not image.source:
        raise ClusterError(
            f"'{image.name}' is in the memory of this program, where other processes cannot see it. Write it to a file "
            "first (OME-Zarr suits best), and open that."
        )
    return Source(origin_of(image), image.axes, labels, fingerprint(image))


@dataclass(frozen=True)
class Chore:
    """What is done with some files.

    Attributes
    ----------
    labels, image : Source or None
        The files.
    model : dict or None
        Fields of :class:`~napari_unet.core.specs.SegmentSpec`, where a network is asked.
    measured : dict or None
        See :func:`~napari_unet.models.motion.measure_motion`.
    around : dict or None
        Where the rings around objects are measured: how far they reach (``distance``), and ``scale`` of the labels.
    other : Source or None
        Labels whose objects lie in those of `labels`, or around them.
    """

    labels: Source | None = None
    image: Source | None = None
    model: dict[str, Any] | None = None
    measured: dict[str, Any] | None = None
    around: dict[str, Any] | None = None
    other: Source | None = None

    @property
    def name(self) -> str:
        """A short name that no other has."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def bench(self) -> Bench:
        """Return what a process needs to do it; files are opened."""
        sources = (self.labels, self.image, self.other)
        labels, image, other = (None if source is None else source.open() for source in sources)
        return Bench(self, labels, image, other)


@dataclass
class Bench:
    """A process that works on a chore.

    Attributes
    ----------
    chore : Chore
        What is done.
    labels, image, other : Image or None
        Its files, open.
    """

    chore: Chore
    labels: Image | None
    image: Image | None
    other: Image | None = None
    _own: threading.local = field(default_factory=threading.local)  # readers are of one thread
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seer: Seer | None = None

    def measure(self, number: int) -> Sums:
        """Measure a part; see :class:`~napari_unet.measures._parts.Parts`."""
        parts = getattr(self._own, "parts", None)
        if parts is None:
            labels = self._labels()
            if (around := self.chore.around) is not None:
                labels = grow(replace(labels, scale=tuple(around["scale"])), around["distance"], ring=True)
            parts = self._own.parts = Parts(labels, self.image)
        found: Sums = _driven(parts.measure(number))
        return found.shrunk()

    def compare(self, number: int) -> Any:
        """Count the pixels of a part; see :class:`~napari_unet.measures._inside.SharedParts`."""
        parts = getattr(self._own, "shared", None)
        if parts is None:
            if self.other is None:
                raise ClusterError("There are no labels to compare with. Give them.")
            parts = self._own.shared = SharedParts(self._labels(), self.other)
        return _driven(parts.measure(number))

    def detect(self, first: int, stop: int, told: Sequence[Foretold] | None) -> list[Frame]:
        """List the objects of some frames; see :func:`~napari_unet.tracking._detect.detect_some`."""
        return list(
            detect_some(self._labels(), (first, stop), self.image, motion.gather_motion(told) if told else None)
        )

    def foretell(self, t: int) -> Foretold:
        """Foretell the motion of a frame; see :class:`~napari_unet.models.motion.Seer`."""
        if not t:
            return motion.first_motion(self._labels())
        with self._lock:
            if self._seer is None:
                spec = SegmentSpec.of(**(self.chore.model or {}))
                if self.image is None or self.chore.measured is None:
                    raise ClusterError("Motion is foretold from an image. Give it too.")
                model = load_model(spec.models[0], spec.device)
                self._seer = Seer.of(self._labels(), self.image, spec, model, self.chore.measured)
        return self._seer.foretell(t)

    def judge(self, pair: tuple[str, str], metrics: Sequence[str], options: dict[str, Any], binary: bool) -> list[Any]:
        """Compare two files; see :func:`~napari_unet.metrics._judging.judge`."""
        truth, found = read_judged(*pair)
        counted: list[Any] = judge(truth, found, metrics, options, binary)
        return counted

    def _labels(self) -> Image:
        if self.labels is None:
            raise ClusterError("There are no labels to work on. Give them.")
        return self.labels


def _driven(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def measure_motion(chore: Chore) -> dict[str, Any]:
    """Measure what is measured once for a movie whose motion is foretold.

    Parameters
    ----------
    chore : Chore
        With labels, an image and a model.

    Returns
    -------
    dict
        See :func:`napari_unet.models.motion.measure_motion`.

    Raises
    ------
    UNetError
        See :func:`napari_unet.models.motion.foretell`.
    """
    bench, spec = chore.bench(), SegmentSpec.of(**(chore.model or {}))
    labels, image, model = bench.labels, bench.image, load_model(spec.models[0], spec.device)
    if labels is None or image is None:
        raise ClusterError("Motion is foretold from an image. Give it too.")
    found: dict[str, Any] = (
        {} if motion.check_motion(labels, image, model) == 1 else motion.measure_motion(labels, image, spec, model)
    )
    return found


def try_chore(chore: Chore, pair: tuple[str, str] | None = None) -> Told | None:
    """Open the files of a chore, and load its model.

    Parameters
    ----------
    chore : Chore
        What is to be done.
    pair : (str, str), optional
        More labels that must be here.

    Returns
    -------
    Told or None
        The model, if there is one.

    Raises
    ------
    ClusterError, ImageError, ModelError
        If they are not here, or others.
    """
    chore.bench()
    for place in pair or ():
        read_labels(place)
    if chore.model is None:
        return None
    spec = SegmentSpec.of(**chore.model)
    check_models(spec.models)
    return tell(load_model(spec.models[0], spec.device))
