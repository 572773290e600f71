"""Keep corrections to learn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..core.axes import Image
from ..core.bands import choose_bands
from ..core.channels import Channels
from ..core.errors import ModelError, TrainingDataError
from ..core.model_card import family
from ..core.steps import Progress, Steps

__all__ = ["Collection", "collect", "collect_steps", "list_collections"]

_SUFFIX: Final = ".corrections"


@dataclass(frozen=True)
class Collection:
    """Corrections that are kept for a family of models.

    Attributes
    ----------
    folder : Path
        Where they are.
    name : str
        Of the models that learn from them.
    places, images : int
        How many there are.
    added : int
        How many of the places have just been added.
    """

    folder: Path
    name: str
    places: int
    images: int
    added: int = 0

    @property
    def table(self) -> Path:
        """What can be given to :func:`~napari_unet.train`."""
        return self.folder / "data.csv"

    @property
    def caption(self) -> str:
        """How many there are, in words: ``"7 places in 2 images"``."""
        return f"{_count(self.places, 'place')} in {_count(self.images, 'image')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def list_collections() -> list[Collection]:
    """Return the corrections that are kept."""
    from ..models.cards import user_folder

    home = user_folder()
    found = sorted(home.glob(f"*{_SUFFIX}")) if home.is_dir() else []
    made = [_read(folder) for folder in found]
    return [one for one in made if one.places]


def _read(folder: Path, added: int = 0) -> Collection:
    from ..core.region import parse_region
    from ..io.collected import read_rows

    rows = read_rows(folder)
    places = sum(len(parse_region((folder / row["region"]).read_text("utf-8")) or ()) for row in rows)
    images = len({row["image"] for row in rows})
    return Collection(folder, folder.name.removesuffix(_SUFFIX), places, images, added)


def collect_steps(
    image: Image, labels: Image, before: Image, model: str, name: str = "", channels: Channels = None
) -> Steps[Collection]:
    """Keep what was corrected in labels, step by step.

    Parameters
    ----------
    image : Image
        Any axes.
    labels, before : Image
        Its labels as they are now, and as the model has found them; the axes of the image without channels.
    model : str
        What has found them.
    name : str
        Family of the models that are to learn from it. Empty: that of the model; for a bundled one, a name with "my-".
    channels : tuple of int or str, or None
        Those that the model was given; None: it found them by itself. What is kept are these, in its order.

    Returns
    -------
    Collection
        All that is kept for these models.

    Yields
    ------
    Progress
        Before each plane that is kept.

    Raises
    ------
    TrainingDataError
        If nothing was corrected.
    ImageError
        If the image lacks channels that were given.
    OutputError
        If it cannot be written.
    """
    yield Progress(0, 0, "Looking for what was corrected")
    from ..io.collection import Known, grow
    from ..models.cards import bundled, find_model, read_card, user_folder
    from ..training.corrections import find_corrections, left_of

    ndim, own = 2, True
    bands: tuple[str, ...] = ()
    try:
        found = find_model(model)
        card = read_card(found)
        ndim, own, bands = card.net.ndim, not bundled(found), card.bands
    except ModelError:
        pass  # it has gone since; what was corrected is right all the same
    seen = choose_bands(image, channels, bands)
    count = image.channels if seen is None else len(seen)
    name = family(name or (Path(model).name if own else f"my-{model}") or "my-cells")
    folder, added = user_folder() / f"{name}{_SUFFIX}", 0
    for found_ in find_corrections(image, before, labels, min(ndim, len(image.spatial)), seen):
        yield Progress(added, 0, f"Keeping corrections for '{name}'")
        picture = replace(found_.image, channel_names=bands) if len(bands) == count else found_.image
        known = Known(found_.labels, found_.region, image.source or image.name, found_.place)
        grow(folder, picture, known, left_of)
        added += len(found_.region)
    if not added:
        raise TrainingDataError(
            f"Nothing was corrected in '{labels.name}' since it was made or added. Paint, erase or fill some objects "
            "with napari's tools, then add them."
        )
    return _read(folder, added)


def collect(
    image: Image, labels: Image, before: Image, model: str, name: str = "", channels: Channels = None
) -> Collection:
    """Keep what was corrected in labels; see :func:`collect_steps`."""
    from ..core.steps import finish

    return finish(collect_steps(image, labels, before, model, name, channels))
