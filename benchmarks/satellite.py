"""Land cover and buildings: napari-unet beside segmentation_models_pytorch's U-Net, both from random weights.

The same folds, machine, threads and time of the processor to train. What is left out:

- ``dubai``: five classes of the aerial tiles of Dubai (satellite/dubai_aerial), a whole tile at a time;
- ``dubai-parts``: the same, but parts of tiles are left out, as papers on these images do it. The other parts of a tile
  show the same streets in the same light, so that this is easier than a place that nobody has seen;
- ``buildings``: roofs in drone images of Uganda (satellite/hot_buildings_uganda) and in those tiles, in five folds of
  whole places; a place of Uganda is a map tile of zoom 18, so that no ground is on both sides.

IoU is counted over the pixels of all held-out images together, and for each place. The peer is described in
``_learn_pixels.py``. With ``--together`` both train at once, each with its own threads. ``told`` in the results says
how many steps each did, and how many seconds it took on the clock.

Usage: ``python benchmarks/satellite.py --minutes 20``; ``--folds 1 --minutes 2`` to see that it works.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from _pixel_benchmark import DATA, HERE, Annotated, Subject, compare, options
from PIL import Image as Picture

FOLDS = 5
CLASSES = ["building", "land", "road", "vegetation", "water"]


def read(file: Path) -> np.ndarray:
    """Return the pixels of a picture."""
    with Picture.open(file) as opened:
        return np.asarray(opened)


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return images and their masks."""
    masks = {file.stem: file for file in (folder / "masks").iterdir()}
    return [(file, masks[file.stem]) for file in sorted((folder / "images").iterdir())]


def dubai(roofs: bool = False) -> list[Annotated]:
    """Return the parts of the tiles of Dubai; of classes, or of roofs alone."""
    found = []
    for file, mask in pairs(DATA / "satellite" / "dubai_aerial"):
        labels = read(mask)
        labels = (labels == 1).astype(np.uint8) if roofs else labels
        found.append(Annotated(file.stem, read(file), labels, file.stem.split("_")[0]))
    return found


def uganda() -> list[Annotated]:
    """Return the drone images of Uganda."""
    found = []
    for file, mask in pairs(DATA / "satellite" / "hot_buildings_uganda"):
        x, y, zoom = (int(word) for word in file.stem.split("-")[1:4])
        place = f"uganda {x >> zoom - 18} {y >> zoom - 18}"
        found.append(Annotated(file.stem, read(file)[..., :3], (read(mask) == 1).astype(np.uint8), place))
    return found


def main() -> None:
    """Compare."""
    wish = options(__doc__)
    tiles, roofs = dubai(), [*uganda(), *dubai(roofs=True)]
    groups = sorted({each.group for each in tiles})
    places = sorted({each.group for each in roofs})
    cover = {"task": "satellite", "classes": CLASSES, "background": False}
    parts = [replace(each, group=each.name) for each in tiles]
    names = sorted(each.name for each in parts)
    building = {"task": "satellite", "classes": ["building"], "background": True}
    subjects = [
        Subject("dubai", cover, tiles, [{group} for group in groups]),
        Subject("dubai-parts", cover, parts, [set(names[fold::FOLDS]) for fold in range(FOLDS)]),
        Subject("buildings", building, roofs, [set(places[fold::FOLDS]) for fold in range(FOLDS)]),
    ]
    compare(subjects, wish, HERE / "results" / "satellite.json")


if __name__ == "__main__":
    main()
