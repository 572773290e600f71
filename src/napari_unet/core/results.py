"""What long jobs hand back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .axes import AXES, Image
from .classes import ClassRow
from .hashes import label_hash

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .specs import TrainSpec

__all__ = [
    "MAPS", "MOST_UNCERTAIN", "Annotation", "Epoch", "Piece", "Plan", "Segmentation", "Table", "TrackFile",
    "TrackScores", "Tracks", "hash_labels", "label_hash",
]  # fmt: skip

MAPS: Final = ("uncertainty", "confidence", "anomaly")  # what a segmentation tells of every pixel, where it is asked
MOST_UNCERTAIN: Final = 0.5  # the largest standard deviation that scores between 0 and 1 can have
_SETTINGS: Final = {"threshold": "threshold", "min_score": "least score"}
Table = dict[str, "npt.NDArray[np.generic]"]


def _no_numbers() -> npt.NDArray[np.float64]:
    import numpy as np

    return np.zeros(0)


@dataclass(frozen=True)
class Piece:
    """A finished part of the labels, for whoever shows them while the run goes on.

    Attributes
    ----------
    index : tuple of int or slice
        Where it belongs in the labels array.
    labels : ndarray of int32
        Its values; provisional until the run ends (ids may still change).
    """

    index: tuple[int | slice, ...]
    labels: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Segmentation:
    """Labels and how they were made.

    Attributes
    ----------
    labels : Image
        int32, the axes of the source without channels, its scale and units.
    objects : int
        Number of objects; ids run from 1 to this.
    diameter : float
        Object size that was used, pixels of the image.
    seconds : float
        Wall time from image to labels.
    manifest : dict
        Model, sha256, statistics, settings, device: all that is needed to do it again.
    table : dict of ndarray
        Measurements of the objects, one row each; ``index`` is the label.
    uncertainty : Image or None
        float32, like the labels: the standard deviation of the foreground score among the answers that were averaged,
        from 0 (all agree) to 0.5 (half say yes, half no). None if it was not asked for.
    confidence : Image or None
        float32, like the labels, 0 to 1: the score of the class that each pixel was given, or of being an object where
        labels are objects. None if it was not asked for.
    anomaly : Image or None
        float32, like the labels, 0 to 1: how much speaks against a pixel being background. None if it was not asked
        for.
    """

    labels: Image
    objects: int
    diameter: float
    seconds: float
    manifest: dict[str, Any] = field(default_factory=dict)
    table: Table = field(default_factory=dict)
    uncertainty: Image | None = None
    confidence: Image | None = None
    anomaly: Image | None = None

    @property
    def classes(self) -> tuple[ClassRow, ...]:
        """What the labels 1, 2 and so on mean; empty where they are numbers of objects."""
        return tuple(ClassRow(**row) for row in self.manifest.get("classes", ()))

    @property
    def shares(self) -> dict[str, float]:
        """Share of each class that is there, 0 to 1, by its name; empty where none was measured."""
        found = self.table if {"name", "share"} <= set(self.table) else {"name": (), "share": ()}
        return {str(name): float(share) for name, share in zip(found["name"], found["share"], strict=True)}

    @property
    def sized(self) -> bool:
        """Whether `diameter` was measured or given: not where networks see images at one spacing, or as they are."""
        return str(self.manifest.get("grid", "objects")) == "objects"

    @property
    def agreement(self) -> str:
        """In words, how well an approximate runtime agreed with float32 when it was loaded; empty for exact ones."""
        percent = self.manifest.get("agreement_percent")
        return "" if percent is None else f"{percent:.2f} % of pixels as in float32, on simulated pictures"

    @property
    def flat(self) -> bool:
        """Whether the image has no contrast in any channel, so that there is nothing to be found."""
        levels = self.manifest.get("statistics", {})
        return bool(levels) and levels["low"] == levels["high"]

    @property
    def unseen(self) -> str:
        """In words, what could not be looked at and counts as background; empty if there is no such thing."""
        pixels, parts = self.manifest.get("not_a_number", 0), self.manifest.get("unreadable", ())
        said = [f"{pixels} pixels that hold no number"] * bool(pixels)
        if self.flat and not said:
            said.append("an image without any contrast")
        if parts:
            first = ", ".join(f"{axis} {low} to {high}" for axis, (low, high) in parts[0].items() if axis != "c")
            said.append(f"{len(parts)} damaged parts of the image, the first at {first}")
        return " and ".join(said)

    @property
    def unused(self) -> str:
        """In words, which settings were given and changed nothing; empty if there are none."""
        unused = self.manifest.get("unused", ())
        names = " and ".join(_SETTINGS[name] for name in unused if name in _SETTINGS)
        said = [f"{names} (each pixel gets the class with the highest score)"] * bool(names)
        if "min_size" in unused:
            said.append("smallest pieces (this model has no background that could take their place)")
        return " and ".join(said)

    @property
    def hash(self) -> str:
        """The identity of the labels; see :func:`hash_labels`."""
        return hash_labels(self.labels)


@dataclass(frozen=True)
class Tracks:
    """Objects through time, and who came from whom.

    Attributes
    ----------
    nodes : dict of ndarray
        One row for each object and frame, ordered by time, then label. ``id``: number of the row, from 0; ``label``:
        its value in the labels; ``t``: frame; ``z`` (3D), ``y``, ``x``: center of mass in pixels; ``area``: pixels or
        voxels; ``track``: from 1, new after a division; ``parent``: the track that this track comes from, 0 for none;
        ``lineage``: all that descends from one object, from 1. Perhaps ``number``: under which the object is in a
        folder of the Cell Tracking Challenge, where a track may go on under another.
    edges : ndarray of int64, shape (n, 2)
        Ids of parent and child, ordered by child, then parent. A node has at most two children, and one parent unless
        objects may merge; an edge over several frames closes a gap.
    axes : str
        ``"tyx"`` or ``"tzyx"``.
    scale : tuple of float
        Duration of a frame and size of a pixel along `axes`.
    units : tuple of str
        Unit of each scale.
    name : str
        Of the labels.
    costs : ndarray of float64, shape (n,)
        What each edge costs; NaN for one that was given. Empty where nobody computed it.
    margins : ndarray of float64, shape (n,)
        How much more the next best choice for the two objects of an edge would cost: the smaller, the more doubtful.
        NaN for edges that were given; empty where nobody computed it.
    """

    nodes: Table
    edges: npt.NDArray[np.int64]
    axes: str
    scale: tuple[float, ...]
    units: tuple[str, ...] = ()
    name: str = "labels"
    costs: npt.NDArray[np.float64] = field(default_factory=_no_numbers)
    margins: npt.NDArray[np.float64] = field(default_factory=_no_numbers)

    @property
    def graph(self) -> dict[int, list[int]]:
        """The tracks that come from others, each with those: the form that napari shows."""
        track = self.nodes["track"]
        above, below = (track[self.edges[:, i]].tolist() for i in range(2))
        found: dict[int, list[int]] = {}
        for parent, child in zip(above, below, strict=True):
            if parent != child:
                found.setdefault(child, []).append(parent)
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of objects (in all frames), tracks, lineages and divisions."""
        import numpy as np

        tracks, families = (int(self.nodes[name].max(initial=0)) for name in ("track", "lineage"))
        divisions = int((np.bincount(self.edges[:, 0]) > 1).sum()) if len(self.edges) else 0
        return {"objects": len(self.nodes["id"]), "tracks": tracks, "lineages": families, "divisions": divisions}


@dataclass(frozen=True)
class Epoch:
    """What one stretch of training came to.

    Attributes
    ----------
    step : int
        Steps done.
    loss : float
        Mean loss since the report before.
    rate : float
        Learning rate.
    seconds : float
        Time of training so far, pauses left out.
    validation : dict of float
        Of the images that are not learned from: ``loss``, ``AP50``, ``mAP`` or ``Dice`` of each class. Empty where
        nothing was measured at this report.
    examples : tuple of Path
        Files (npz) with ``image``, ``truth`` and ``labels`` of parts of some images.
    best : bool
        Whether the validation was never better.
    preview : Path or None
        Labels (npy) of the image that was given to be looked at.
    """

    step: int
    loss: float
    rate: float
    seconds: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)
    examples: tuple[Path, ...] = ()
    best: bool = False
    preview: Path | None = None


@dataclass(frozen=True)
class Plan:
    """How a training will go, before its first step.

    Attributes
    ----------
    spec : TrainSpec
        With everything filled in.
    words : tuple of str
        The plan in sentences.
    warnings : tuple of str
        What the user should think about.
    counts : dict
        Numbers of images, objects and so on.
    """

    spec: TrainSpec
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackScores:
    """How well tracks agree with the truth, and where they do not.

    Attributes
    ----------
    scores : dict of float
        By name, 0 to 1; NaN where there is nothing to judge.
    errors : dict of ndarray
        One row each, ordered by time: ``kind`` (text), ``t``, ``label`` (of the truth where it is missing from the
        result, else of the result), ``z`` (3D), ``y``, ``x`` (pixels).
    """

    scores: dict[str, float]
    errors: Table


@dataclass(frozen=True)
class Annotation:
    """True masks of one frame of a movie, or of one plane of it.

    Attributes
    ----------
    t : int
        The frame.
    z : int or None
        The plane; None where the whole frame is annotated.
    labels : Image
        ``yx`` or ``zyx``; its numbers are not those of tracks.
    """

    t: int
    z: int | None
    labels: Image


@dataclass(frozen=True)
class TrackFile:
    """What a file of tracks holds.

    Attributes
    ----------
    tracks : Tracks
        The tracks.
    labels : Image or None
        Masks, read when looked at, where the file has them.
    problems : tuple of str
        What is wrong with the file, in words, and what was made of it.
    annotations : tuple of Annotation
        True masks of some frames, where tracks have markers only and masks are kept beside them.
    """

    tracks: Tracks
    labels: Image | None = None
    problems: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()


def hash_labels(labels: Image) -> str:
    """Return the hash of labels, whatever the order of their axes.

    Parameters
    ----------
    labels : Image
        Without channels.

    Returns
    -------
    str
        See :func:`~napari_unet.core.hashes.label_hash`; axes in the order ``tzyx``.
    """
    axes = "".join(a for a in AXES if a in labels.axes)
    if axes == labels.axes:
        return label_hash(labels.data)
    import numpy as np

    return label_hash(np.asarray(labels.data).transpose([labels.axes.index(a) for a in axes]))
