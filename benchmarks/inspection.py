"""Defects of magnetic tiles: napari-unet beside segmentation_models_pytorch's U-Net, both from random weights.

Five kinds of defect and tiles without one (inspection/magnetic_tile; Huang, Qiu and Yuan 2020), in five folds. Images
are spread over the folds by kind, in the order of their numbers; that the same tile may be there under two numbers is
not known to be ruled out. mIoU is that of the five kinds of defect, without the background, over the pixels of all
held-out images together. The weights are not shipped.

Usage: ``python benchmarks/inspection.py --minutes 20``; ``--folds 1 --minutes 2`` to see that it works. See
``_learn_pixels.py`` for what is compared and ``satellite.py`` for ``--together``.
"""

from __future__ import annotations

import numpy as np
from _pixel_benchmark import DATA, HERE, Annotated, Subject, compare, options
from PIL import Image as Picture

FOLDS = 5
CLASSES = ["blowhole", "break", "crack", "fray", "uneven"]


def tiles() -> list[Annotated]:
    """Return all images; a group is a file."""
    folder, found = DATA / "inspection" / "magnetic_tile", []
    masks = {file.stem: file for file in (folder / "masks").iterdir()}
    for file in sorted((folder / "images").iterdir()):
        with Picture.open(file) as image, Picture.open(masks[file.stem]) as mask:
            found.append(Annotated(file.stem, np.asarray(image.convert("L")), np.asarray(mask), file.stem))
    return found


def folds(images: list[Annotated]) -> list[set[str]]:
    """Spread the images of each kind over the folds."""
    kinds: dict[str, list[str]] = {}
    for each in images:
        kinds.setdefault(each.name.split("_")[0], []).append(each.name)
    return [{name for names in kinds.values() for name in names[fold::FOLDS]} for fold in range(FOLDS)]


def main() -> None:
    """Compare."""
    wish, images = options(__doc__), tiles()
    how = {"task": "inspection", "classes": CLASSES, "background": True}
    compare([Subject("magnetic_tile", how, images, folds(images))], wish, HERE / "results" / "inspection.json")


if __name__ == "__main__":
    main()
