"""Make one of the bundled models again, or cross-validate it: ``python recipes/bundled.py breast-ultrasound``.

Needs the data that ``NAPARI_UNET_DATA`` or ``../shared/data`` holds. ``--fold 0`` (the default) leaves out the first of
five folds of patients, tiles or places, on which the model is judged. The other folds tell how much that says. With
``--fold all`` nobody is left out: such weights know a fifth more and are bundled where there are few images, with the
scores of weights that left out a fold each (``--judged``) and learned in the same way. A stopped run goes on
where it was. The weights that are kept are those of the report with the best score on the fold that is left out, so
that its scores flatter a little, or the last ones where nobody is; thresholds are those of the task.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from torch import nn

from napari_unet import read_image, read_labels
from napari_unet.core.axes import as_image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.models.cards import read_card
from napari_unet.models.model import Model
from napari_unet.models.store import read_network, write_model
from napari_unet.training.run import train_model
from napari_unet.training.validate import judge, open_example, summarize

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
WEIGHTS = ROOT / "src" / "napari_unet" / "models" / "weights"
FOLDS = 5
BY_PLACE = ("buildings",)  # whose places are different enough to be judged one by one
Spatial = dict[str, Any]


def picture(file: Path) -> np.ndarray:
    with Picture.open(file) as opened:
        return np.asarray(opened)


def flat(file: Path, mask: Path, group: str, change: Callable[[np.ndarray], np.ndarray] | None = None) -> Example:
    """Return a picture and its labels."""
    pixels, labels = picture(file), picture(mask)
    labels = change(labels) if change else labels
    image = as_image(pixels, "yxc" if pixels.ndim == 3 else "yx", name=file.stem)
    return Example(image, as_image(labels.astype(np.int32), "yx", name=file.stem), group=group)


def volume(file: Path, mask: Path, group: str) -> Example:
    """Return a volume and its labels, upright: as a user opens them."""
    return Example(read_image(file), read_labels(mask), group=group)


def pairs(folder: Path) -> Iterable[tuple[Path, Path]]:
    masks = {file.name.split(".")[0]: file for file in (folder / "masks").iterdir()}
    return [(file, masks[file.name.split(".")[0]]) for file in sorted((folder / "images").iterdir())]


def ultrasound() -> list[Example]:
    folder = DATA / "tumour" / "busi_breast_us"
    with (folder / "cases.csv").open() as stream:
        same = {row["stem"]: row["exact_duplicate_of"] for row in csv.DictReader(stream)}
    return [flat(file, mask, same.get(file.stem) or file.stem) for file, mask in pairs(folder)]


def hippocampus() -> list[Example]:
    return [volume(file, mask, file.name) for file, mask in pairs(DATA / "organ" / "msd_hippocampus")]


def sarcoma() -> list[Example]:
    return [volume(file, mask, file.name) for file, mask in pairs(DATA / "tumour" / "sts_sarcoma_3d")]


def landcover() -> list[Example]:
    folder = DATA / "satellite" / "dubai_aerial"
    return [flat(file, mask, file.stem.split("_")[0]) for file, mask in pairs(folder)]


def buildings() -> list[Example]:
    """Return two blocks of Kampala, each one image, and the tiles of Dubai, whose scale nobody knows.

    The tiles of zoom 21 (7.5 cm) are put together: a tile of its own shows 19 m of ground, less than a house needs
    around it. Those of zooms 19 and 20 show the same ground. About half of the patches are of Kampala.
    """
    blocks: dict[tuple[int, int], dict[tuple[int, int], tuple[Path, Path]]] = {}
    for file, mask in pairs(DATA / "satellite" / "hot_buildings_uganda"):
        x, y, zoom = (int(word) for word in file.stem.split("-")[1:4])
        if zoom == 21:
            blocks.setdefault((x >> 3, y >> 3), {})[y, x] = file, mask
    found = []
    for (across, down), tiles in sorted(blocks.items()):
        rows, columns = (sorted({place[k] for place in tiles}) for k in (0, 1))
        pixels, roofs = (
            np.concatenate([np.concatenate([picture(tiles[y, x][k]) for x in columns], 1) for y in rows])
            for k in (0, 1)
        )
        name, side = f"kampala {across} {down}", 2 * np.pi * 6378137 / 2**21 / 256  # meters, at the equator
        place = {"name": name, "scale": (side, side), "units": ("meter", "meter")}
        image = as_image(pixels[..., :3], "yxc", name=name, scale=(side, side, 1.0), units=("meter", "meter", "pixel"))
        labels = as_image((roofs == 1).astype(np.int32), "yx", **place)
        found.append(Example(image, labels, weight=32.0 * len(tiles) / 64, group=name))
    for file, mask in pairs(DATA / "satellite" / "dubai_aerial"):
        found.append(flat(file, mask, file.stem.split("_")[0], lambda labels: labels == 1))
    return found


MODELS: dict[str, tuple[Callable[[], list[Example]], Spatial]] = {
    "breast-ultrasound": (ultrasound, {
        "task": "tumor", "patch": 192, "batch": 4, "foreground": 0.5, "grid": {"kind": "pixels", "zoom": 0.375},
        "augment": {
            **load_task("tumor").augment.model_dump(), "gamma": 0.3, "contrast": 0.15, "angle": 15.0, "elastic": 4.0,
        },
        "net": {"ndim": 2, "inputs": 1, "outputs": 2, "widths": [16, 32, 64, 128, 192], "deep_supervision": True},
        "license": "BSD-3-Clause; data CC BY 4.0",
    }),
    "hippocampus": (hippocampus, {
        "task": "organ", "patch": 48, "depth": 40, "batch": 2, "foreground": 0.5, "cooldown": 0.7,
        "grid": {"kind": "spacing", "spacing": [1.0, 1.0, 1.0]},
        "target": {"name": "classes", "classes": ["anterior", "posterior"], "colors": ["#e5484d", "#3e8eed"]},
        "net": {"ndim": 3, "inputs": 1, "outputs": 2, "widths": [16, 32, 64, 96]},
        "license": "CC BY-SA 4.0, as its data",
    }),
    "sarcoma-mri": (sarcoma, {
        "task": "tumor", "patch": 64, "depth": 32, "batch": 2, "foreground": 0.5,
        "grid": {"kind": "spacing", "spacing": [5.0, 5.0, 5.0]},
        "target": {"name": "foreground", "classes": ["tumor"], "min_fraction": 0.0, "min_size": "0.5 ml"},
        "net": {"ndim": 3, "inputs": 1, "outputs": 2, "widths": [12, 24, 48, 96], "deep_supervision": True},
        "license": "BSD-3-Clause; data CC BY 3.0",
    }),
    "aerial-landcover": (landcover, {
        "task": "satellite", "patch": 256, "batch": 4, "foreground": 0.5, "grid": {"kind": "pixels", "zoom": 0.5},
        "cooldown": 0.7,
        "net": {"ndim": 2, "inputs": 3, "outputs": 6, "widths": [16, 32, 64, 128, 192]},
        "license": "BSD-3-Clause; data CC0",
    }),
    "buildings": (buildings, {
        "task": "satellite", "patch": 192, "batch": 4, "foreground": 0.5,
        "grid": {"kind": "spacing", "spacing": [0.25, 0.25], "unit": "m"},
        # Roofs of one place are red, of another gray: what they look like must not be told by color.
        "augment": {**load_task("satellite").augment.model_dump(), "gray": 0.3, "shuffle": 0.3, "contrast": 0.3},
        "normalize": {"kind": "percentile"},
        "target": {"name": "foreground", "classes": ["building"], "colors": ["#e5484d"], "min_fraction": 0.01},
        "net": {"ndim": 2, "inputs": 3, "outputs": 2, "widths": [16, 32, 64, 128, 192], "deep_supervision": True},
        "license": "BSD-3-Clause; data CC BY 4.0, CC0; labels (c) OpenStreetMap contributors, ODbL",
    }),
}  # fmt: skip


WORDS: dict[str, dict[str, Any]] = {
    "hippocampus": {
        "title": "Hippocampus",
        "description": "Anterior and posterior hippocampus in T1 MR volumes cropped around it. Not for clinical use.",
        "data": "Medical Segmentation Decathlon, Task04 Hippocampus (Antonelli et al. 2022; Simpson et al. 2019)",
        "citations": (
            "Antonelli et al., Nat Commun 13:4128 (2022) doi:10.1038/s41467-022-30695-9",
        ),
    },
    "aerial-landcover": {
        "title": "Land cover from the air",
        "description": "Buildings, land, roads, vegetation and water in color images of cities taken from the air.",
        "bands": ("red", "green", "blue"),
        "data": "Semantic segmentation of aerial imagery of Dubai (Humans in the Loop and MBRSC)",
        "citations": (),
    },
    "buildings": {
        "title": "Buildings from the air",
        "description": "Roofs in color images taken from drones. Pixels need a size: without one they are taken for "
        "0.25 m.",
        "bands": ("red", "green", "blue"),
        "data": "OpenAerialMap and OpenStreetMap contributors (HOT), two blocks of Kampala; Humans in the Loop and "
        "MBRSC, Dubai",
        "citations": (),
    },
    "breast-ultrasound": {
        "title": "Breast ultrasound",
        "description": "Tumors in ultrasound images of the breast. Not for clinical use.",
        "data": "Breast Ultrasound Images Dataset (Al-Dhabyani et al. 2020)",
        "citations": ("Al-Dhabyani et al., Data in Brief 28:104863 (2020) doi:10.1016/j.dib.2019.104863",),
    },
    "sarcoma-mri": {
        "title": "Soft-tissue sarcoma",
        "description": "Soft-tissue sarcomas in T1 MR volumes of limbs. Not for clinical use.",
        "data": "Soft-tissue-Sarcoma, The Cancer Imaging Archive (Vallieres et al. 2015)",
        "citations": ("Vallieres et al., Phys Med Biol 60:5471 (2015) doi:10.1088/0031-9155/60/14/5471",),
    },
}  # fmt: skip


def mirror(network: nn.Module, axes: str) -> None:
    """Mirror all kernels: the network then says of mirrored volumes what it said of those it learned from."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            weight = part.weight.data
            part.weight.data = weight.flip([weight.ndim - 1 - "xyz".index(axis) for axis in axes]).contiguous()


def scored(folder: Path, name: str, mirrored: str = "", fold: int = 0) -> dict[str, dict[str, float]]:
    """Score a model on a fold that it did not learn from, with 95 % intervals; place by place where they differ."""
    card = read_card(folder)
    network = read_network(folder, card)
    mirror(network, mirrored)
    model = Model(card, network, "cpu")
    held_out = [each for each in folded(MODELS[name][0](), fold) if each.held_out]
    places: dict[str, list[Example]] = {}
    for each in held_out:
        places.setdefault(f"fold {fold}, {each.group}" if name in BY_PLACE else f"fold {fold}", []).append(each)
    found = {}
    for place, images in places.items():
        scores, sure = summarize(
            [judge(open_example(each, rule=card.target, ndim=card.net.ndim), model) for each in images]
        )
        for key, (low, high) in sure.items():
            scores |= {f"{key} low": low, f"{key} high": high}
        if name in BY_PLACE:
            scores["IoU"] = scores["Dice"] / (2 - scores["Dice"])
        found[place] = {key: round(value, 4) for key, value in scores.items()} | {"images": float(len(images))}
    return found


def rescore(name: str, judged: Sequence[Path] = ()) -> Path:
    """Score the model in the package as the program is now, or those of `judged`, and write that on its card."""
    folder = WEIGHTS / name
    card = read_card(folder)
    if not judged and not card.training["counts"]["held_out"]:
        raise SystemExit(f"The weights of {name} learned from all images: name the ones that did not with --judged.")
    found = dict(card.metrics) if judged else scored(folder, name)
    for one in judged:
        found |= scored(one, name, fold=fold_of(one))
    metrics = {place: found[place] for place in sorted(found)}
    write_model(folder, card.model_copy(update={"metrics": metrics}), read_network(folder, card))
    return folder


def fold_of(trained: Path) -> int:
    """Return the fold that a run of this recipe left out, which the folder above the model is named after."""
    fold = trained.resolve().parent.name.rpartition("-")[2]
    if not fold.isdigit():
        raise SystemExit(f"{trained} does not lie in a folder such as breast-ultrasound-0: which fold it left out?")
    return int(fold)


def bundle(trained: Path, name: str, stages: str, mirrored: str = "", judged: Sequence[Path] = ()) -> Path:
    """Put a trained model into the package: its card with what a user reads, and scores as they are now.

    Weights that learned from all images are judged by those of `judged`, each of which left out a fold.
    """
    card = read_card(trained)
    how = stages + ("; the scores are those of weights that did not learn from that fold" if judged else "")
    kept = ("seconds", "best step", "steps", "device", "seed", "software", "counts", "settings")
    facts = {key: value for key, value in card.training.items() if key in kept}
    facts["settings"] = facts["settings"] | {"start": Path(facts["settings"]["start"]).name}
    found = [scored(one, name, mirrored, fold_of(one)) for one in judged or [trained]]
    words = WORDS[name] | {
        "metrics": {place: scores for each in found for place, scores in each.items()},
        "training": facts,
        "license": MODELS[name][1]["license"],
        "recipe": f"python recipes/bundled.py {name}{how}: {card.recipe}",
    }  # fmt: skip
    folder = WEIGHTS / name
    fresh = read_network(trained, card)
    mirror(fresh, mirrored)
    write_model(folder, card.model_copy(update=words), fresh)
    return folder


def folded(examples: list[Example], fold: int | None) -> list[Example]:
    """Leave out every fifth group, or nobody."""
    groups = sorted({example.group for example in examples})
    # A place of few tiles is a group as one of many: the folds of places are chosen by name alone.
    out = set() if fold is None else set(groups[fold::FOLDS])
    return [replace(example, held_out=example.group in out) for example in examples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--fold", default="0", choices=[*map(str, range(FOLDS)), "all"])
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--start", default="", help="weights to go on from, a second stage")
    parser.add_argument("--rate", type=float, default=2e-2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bundled")
    parser.add_argument("--bundle", type=Path, help="put this trained model into the package, and do nothing else")
    parser.add_argument(
        "--judged",
        type=Path,
        nargs="+",
        default=(),
        help="with --bundle or --rescore of weights that learned from all: those that did not",
    )
    parser.add_argument(
        "--rescore",
        action="store_true",
        help="only score the model in the package; with --judged, put the scores of those folds on its card",
    )
    parser.add_argument("--mirrored", default="", help="axes along which its kernels are mirrored first, such as yx")
    parser.add_argument("--stages", default="", help="what else the recipe was called with, for the card")
    wish = parser.parse_args()
    if wish.bundle:
        print(bundle(wish.bundle, wish.model, wish.stages, wish.mirrored, wish.judged))
        return
    if wish.rescore:
        print(rescore(wish.model, wish.judged))
        return
    read, settings = MODELS[wish.model]
    steps = {"steps": 100000, "every": 200, "rate": wish.rate, "start": wish.start, "average": 0.995, "cooldown": 0.95}
    spec = TrainSpec.of(name=wish.model, minutes=wish.minutes, threads=wish.threads, **(steps | settings))
    folder = wish.out / f"{wish.model}-{wish.fold}" / wish.model
    folder.parent.mkdir(parents=True, exist_ok=True)

    def show(progress: Any) -> None:
        if progress.news or progress.done % 200 == 0:
            print(progress.done, progress.note, progress.news, file=sys.stderr, flush=True)

    left_out = None if wish.fold == "all" else int(wish.fold)
    finish(train_model(folded(read(), left_out), spec, folder), show)


if __name__ == "__main__":
    main()
