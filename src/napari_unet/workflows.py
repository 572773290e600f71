"""The verbs. This is the one lazy door of the house: the only module whose functions import.

Every long job exists twice: ``<verb>_steps`` is a generator of :class:`~napari_unet.core.steps.Progress`, which a
widget or a progress bar drives, and ``<verb>`` drives it to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .core.axes import Image, as_image
from .core.conflict import check_conflict
from .core.errors import ImageError, MissingExtraError
from .core.linking import LinkSpec
from .core.model_card import ModelCard
from .core.registry import load
from .core.results import Segmentation, Table, Tracks
from .core.specs import SegmentSpec, Task, TrainSpec
from .core.specs import load_task as _load_task
from .core.steps import Progress, Steps, finish

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .models.model import Model

    Labels = npt.NDArray[np.int32]

__all__ = [
    "check_conflict", "check_place", "evaluate", "info", "list_models", "load_model", "load_task", "match_labels",
    "measure", "read_image", "read_labels", "read_table", "sample", "segment", "segment_steps", "show", "track",
    "track_steps", "train", "train_steps", "write_labels", "write_overlay", "write_table",
]  # fmt: skip

SAMPLES: Final = ("simulated-nuclei", "immunohistochemistry")


def segment_steps(
    image: Any, spec: SegmentSpec | None = None, measures: Sequence[str] | None = None, *, preview: bool = True
) -> Steps[Segmentation]:
    """Find the objects of an image, step by step.

    Parameters
    ----------
    image : Image or array-like
        Any axes; arrays of four and more dimensions must be an Image that names them.
    spec : SegmentSpec, optional
        Settings.
    measures : sequence of str, optional
        Entries of ``measures/`` that fill the table of the result; empty for none, None for those of the model's task.
    preview : bool
        Attach provisional labels to the progress of every tile.

    Returns
    -------
    Segmentation
        Labels of the whole image; ids are ordered by first pixel and do not depend on how the work was cut.

    Yields
    ------
    Progress
        One for every tile and every plane; the payload is a :class:`~napari_unet.core.results.Piece` or None.

    Raises
    ------
    AxesError, ImageError, ModelError, SpecError
        If the image or a setting cannot be used; the text says what to do.
    """
    check_conflict()
    yield Progress(0, 0, "Loading the model")
    spec = spec or SegmentSpec()
    model = load_model(spec.model, spec.device)
    from .models.segment import segment_image

    source = as_image(image)
    found = yield from segment_image(source, spec, model, preview=preview)
    measures = load_task(model.card.task).measures if measures is None else measures
    if measures:
        yield Progress(1, 1, "Measuring the objects")
        found = replace(found, table=measure(found.labels, source, measures))
    return found


def segment(
    image: Any,
    spec: SegmentSpec | None = None,
    *,
    measures: Sequence[str] = (),
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Segmentation:
    """Find the objects of an image.

    Parameters
    ----------
    image : Image or array-like
        See :func:`segment_steps`.
    spec : SegmentSpec, optional
        Settings as one object.
    measures : sequence of str
        Entries of ``measures/`` that fill the table of the result.
    show : callable, optional
        Called with every Progress.
    **options : Any
        Settings one by one: the fields of :class:`~napari_unet.core.specs.SegmentSpec`.

    Returns
    -------
    Segmentation
        Labels, number and size of the objects, and the record of the run.

    Raises
    ------
    UNetError
        See :func:`segment_steps`.
    """
    spec = SegmentSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(segment_steps(image, spec, measures, preview=False), show)


def load_model(name: str = "nuclei", device: str = "auto") -> Model:
    """Load a model by name or folder; see :func:`napari_unet.models.zoo.load_model`."""
    from .models.zoo import load_model as find

    return find(name, device)


def list_models() -> list[ModelCard]:
    """Return the cards of all models at hand, bundled ones first."""
    from .models.cards import list_cards

    return list_cards()


def load_task(name: str) -> Task:
    """Read a preset by name."""
    return _load_task(name)


def measure(labels: Any, image: Any = None, measures: Sequence[str] = ("objects",)) -> Table:
    """Measure every object.

    Parameters
    ----------
    labels : Image or array-like of int
        Objects.
    image : Image or array-like, optional
        Intensities, on the same grid.
    measures : sequence of str
        Entries of ``measures/``.

    Returns
    -------
    dict of ndarray
        One row an object; the column ``index`` holds its label.

    Raises
    ------
    RegistryError
        If a measure is unknown.
    """
    table: Table = {}
    for name in measures:
        intensities = None if image is None else as_image(image)
        table |= load("measures", name).measure(as_image(labels), intensities)
    return table


def evaluate(truth: Any, predicted: Any, metrics: Sequence[str] = ("matching",)) -> dict[str, float]:
    """Compare labels with the truth.

    Parameters
    ----------
    truth, predicted : array-like of int, Image or path, or lists of them
        Labels of equal shape; several images are pooled: their objects are counted together. Files are read one at a
        time.
    metrics : sequence of str
        Entries of ``metrics/``.

    Returns
    -------
    dict of float
        Scores by name.

    Raises
    ------
    ImageError
        If shapes differ.
    """
    several = isinstance(truth, list | tuple)
    if several and len(truth) != len(predicted):
        raise ImageError(f"There are {len(truth)} true images but {len(predicted)} predicted ones; give pairs.")
    pairs = list(zip(truth, predicted, strict=True)) if several else [(truth, predicted)]
    found: dict[str, float] = {}
    for name in metrics:
        metric, total = load("metrics", name), None
        for expected, got in pairs:
            one = metric.count(_values(expected), _values(got))
            total = one if total is None else total + one
        found |= metric.scores(total)
    return found


def _values(labels: Any) -> Any:
    found = read_labels(labels) if isinstance(labels, str | Path) else labels
    return found.data if isinstance(found, Image) else found


def track_steps(labels: Any, spec: LinkSpec | None = None) -> Steps[Tracks]:
    """Follow labels through time, step by step; see :func:`napari_unet.tracking.lap.link`; arrays start with t."""
    check_conflict()
    from .tracking.lap import link

    movie = as_image(labels, {3: "tyx", 4: "tzyx"}.get(getattr(labels, "ndim", 0)))
    return (yield from link(movie, spec or LinkSpec()))


def track(
    labels: Any, spec: LinkSpec | None = None, show: Callable[[Progress], None] | None = None, **options: Any
) -> Tracks:
    """Follow labels through time; see :func:`track_steps`. Options are the fields of LinkSpec."""
    return finish(track_steps(labels, LinkSpec.of(**((spec.model_dump() if spec else {}) | options))), show)


def train_steps(data: str | Path, spec: TrainSpec, folder: str | Path | None = None) -> Steps[Path]:
    """Train a model on annotated images, step by step; a stopped run goes on where it was.

    Parameters
    ----------
    data : path
        A table (CSV with the columns ``image`` and ``labels``) or a folder with ``images`` and ``labels`` in it.
    spec : TrainSpec
        Settings; what is None is taken from the task.
    folder : path, optional
        Where the model goes; the user's model folder by default. Checkpoints lie beside it until it is done.

    Returns
    -------
    Path
        The model folder.

    Yields
    ------
    Progress
        See :func:`napari_unet.training.fit.fit`.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together; found before the first step.
    """
    check_conflict()
    yield Progress(0, 0, "Reading the annotated images")
    from .models.cards import find_model, read_card
    from .training.run import train_model

    spec = spec.filled(read_card(find_model(spec.start))) if spec.start else spec
    return (yield from train_model(Path(data), spec.filled(load_task(spec.task)), Path(folder) if folder else None))


def train(
    data: str | Path,
    spec: TrainSpec | None = None,
    folder: str | Path | None = None,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Path:
    """Train a model on annotated images; see :func:`train_steps`. Options are the fields of TrainSpec."""
    spec = TrainSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(train_steps(data, spec, folder), show)


def read_image(path: str | Path, axes: str | None = None) -> Image:
    """Read an image file or OME-Zarr; see :func:`napari_unet.io.images.read_image`."""
    from .io.images import read_image as read

    return read(Path(path), axes)


def read_labels(path: str | Path, axes: str | None = None) -> Image:
    """Read labels; see :func:`napari_unet.io.labels.read_labels`."""
    from .io.labels import read_labels as read

    return read(Path(path), axes)


def match_labels(truth: str | Path, predicted: str | Path) -> list[tuple[Path, Path]]:
    """Find which label files are to be compared; see :func:`napari_unet.io.pairs.match_labels`."""
    from .io.pairs import match_labels as match

    return match(Path(truth), Path(predicted))


def check_place(path: str | Path, image: Image | None = None, overwrite: bool = False) -> None:
    """Check that the labels of `image`, or a table, can be written; see :func:`napari_unet.io.places.check_place`."""
    from .io.places import check_place as check

    check(Path(path), image, overwrite)


def write_labels(
    path: str | Path,
    labels: Image,
    manifest: dict[str, Any] | None = None,
    table: Table | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels; see :func:`napari_unet.io.labels.write_labels`."""
    from .io.labels import write_labels as write

    write(Path(path), labels, manifest, table, overwrite)


def write_overlay(path: str | Path, image: Image, labels: Image) -> None:
    """Write a picture of the outlined objects; see :func:`napari_unet.io.overlay.write_overlay`."""
    from .io.overlay import write_overlay as write

    write(path, image, labels)


def show(found: Sequence[tuple[Image, Image, Table]]) -> None:
    """Open a viewer with images, their labels and measurements; return when it is closed.

    Raises
    ------
    MissingExtraError
        If napari is not installed.
    """
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("napari") is None:
        raise MissingExtraError("napari", "all", "The viewer")
    # By name: the viewer lives on the floor above, and only who asks for it climbs there.
    import_module("napari_unet.widgets._demo").show_demo(found)


def write_table(path: str | Path, table: Table) -> None:
    """Write a table as CSV."""
    from .io.tables import write_table as write

    write(Path(path), table)


def read_table(path: str | Path) -> Table:
    """Read a CSV table."""
    from .io.tables import read_table as read

    return read(Path(path))


def sample(name: str = "simulated-nuclei", seed: int = 0) -> tuple[Image, Labels | None]:
    """Return an image that needs no download, and its true labels where they are known.

    Parameters
    ----------
    name : {"simulated-nuclei", "immunohistochemistry"}
        A simulated fluorescence field, or the nuclear stain of a tissue section (skimage.data).
    seed : int
        Of the simulation.

    Returns
    -------
    image : Image
        ``yx``; uint16 or float32.
    truth : ndarray of int32 or None
        True labels.

    Raises
    ------
    RegistryError
        If there is no such sample.
    """
    from .samples import sample as draw

    return draw(name, seed)


def info() -> dict[str, Any]:
    """Return versions, devices and models: what a report of a problem needs."""
    from .models.report import report

    return report()
