"""What was corrected by hand is found, with a region around it in which the labels are the truth, and kept."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError, TrainingDataError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.rasterize import Polygons
from napari_unet.core.region import parse_region, region_text
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.io import collection
from napari_unet.io.collected import read_rows
from napari_unet.io.pairs import find_examples, read_example
from napari_unet.models import cards
from napari_unet.training import corrections
from napari_unet.training.corrections import find_corrections, known_region, left_of


def squares(size: int = 96, edge: int = 10) -> np.ndarray:
    """Label squares in rows, with gaps of the same width between them."""
    y, x = np.mgrid[:size, :size]
    inside = (y % (2 * edge) < edge) & (x % (2 * edge) < edge)
    return np.where(inside, y // (2 * edge) * 10 + x // (2 * edge) + 1, 0).astype(np.int32)


def picture(shape: tuple[int, ...] = (96, 96), axes: str = "yx", name: str = "field") -> Image:
    return Image(np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16), axes, name=name)


def inside(region: Any, y: float, x: float) -> bool:
    return bool(Polygons(region).mask(slice(int(y), int(y) + 1), slice(int(x), int(x) + 1)).all())


def test_the_region_holds_what_was_changed_the_whole_object_and_some_way_around() -> None:
    before = squares()
    after = before.copy()
    after[40:44, 40:44] = 0  # a corner of one square was erased
    region, box = known_region(before, after, before != after)
    assert len(region) == 1
    assert inside(region, 41, 41)  # what was erased
    assert inside(region, 48, 48)  # the rest of the object
    assert inside(region, 36, 45)  # near it
    assert not inside(region, 65, 65)  # the next object but one
    assert not inside(region, 5, 45)
    assert all(0 <= part.start < part.stop <= 96 for part in box)


def test_places_far_apart_are_regions_of_their_own() -> None:
    before = squares()
    after = before.copy()
    after[5, 5] = 0
    after[85, 85] = 99
    region, _ = known_region(before, after, before != after)
    assert len(region) == 2


def test_two_dimensions_take_the_planes_that_were_changed_three_the_part_between() -> None:
    before = np.stack([squares()] * 6)
    after = before.copy()
    after[2, 5, 5] = 0
    after[3, 5, 5] = 0
    image = picture((6, 96, 96), "zyx")
    flat = list(find_corrections(image, Image(before, "zyx"), Image(after, "zyx"), 2))
    assert [c.image.axes for c in flat] == ["yx", "yx"]
    np.testing.assert_array_equal(flat[0].image.data, image.data[2])
    np.testing.assert_array_equal(flat[0].labels.data, after[2])
    (deep,) = find_corrections(image, Image(before, "zyx"), Image(after, "zyx"), 3)
    assert deep.labels.shape == deep.image.shape == (6, 96, 96)  # the object that was changed has six planes


def test_of_a_large_plane_only_the_part_around_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "_LARGE", 1000)
    monkeypatch.setattr(corrections, "_CONTEXT", 4)
    before = squares()
    after = before.copy()
    after[45, 45] = 0
    image = picture((96, 96, 3), "yxc")
    (found,) = find_corrections(image, Image(before, "yx"), Image(after, "yx"), 2)
    assert found.image.axes == "cyx"
    height, width = found.labels.shape
    assert found.image.shape == (3, height, width)
    assert max(height, width) < 40
    assert inside(found.region, height // 2, width // 2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's models."""
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path))
    return tmp_path


def keep(at: tuple[int, int], image: Image | None = None, model: str = "nuclei") -> workflows.Collection:
    before = squares()
    after = before.copy()
    after[at] = 0 if before[at] else 77
    return workflows.collect(image or picture(), Image(after, "yx", name="cells"), Image(before, "yx"), model)


def test_a_collection_grows_and_can_be_learned_from(home: Path) -> None:
    first = keep((5, 5))
    assert (first.name, first.added, first.places, first.images) == ("my-nuclei", 1, 1, 1)
    assert first.folder == home / "my-nuclei.corrections"
    second = keep((85, 85))
    assert (second.places, second.images) == (2, 1)
    third = keep((45, 45), picture(name="another"))
    assert third.caption == "3 places in 1 image"  # the same pixels: it is the same image, by another name
    other = Image(picture().data + 1, "yx", name="field")
    assert keep((5, 5), other).caption == "4 places in 2 images"
    assert [c.name for c in workflows.list_collections()] == ["my-nuclei"]
    assert all(card.name != "my-nuclei" for card in workflows.list_models())
    with third.table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    for row in rows:
        assert workflows.read_image(third.folder / row["image"]).shape == (96, 96)
        assert workflows.read_labels(third.folder / row["labels"]).data.max() > 0
        assert parse_region((third.folder / row["region"]).read_text())


def test_what_is_kept_are_the_channels_that_the_model_sees_by_their_names(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = ("T1", "FLAIR")
    card = ModelCard(name="brain", net=NetSpec(inputs=2), target=TargetSpec(), channels=(2,), bands=bands)
    monkeypatch.setattr(cards, "find_model", Path)
    monkeypatch.setattr(cards, "read_card", lambda _: card)
    values = np.random.default_rng(0).integers(0, 999, (3, 96, 96)).astype(np.uint16)
    image = Image(values, "cyx", name="p1", channel_names=("FLAIR", "PD", "T1"))
    before = squares()
    for at, channels, expected in ((5, None, [2, 0]), (25, (1, 0), [1, 0]), (45, ("none", "FLAIR"), [None, 0])):
        after = before.copy()
        after[at, at] = 0 if before[at, at] else 77
        labels = Image(after, "yx"), Image(before, "yx")
        made = workflows.collect(image, *labels, "brain", channels=channels)
        *_, found = find_examples(made.table)
        read = read_example(found)
        assert read.channel_names == bands
        zeros = np.zeros((96, 96))
        np.testing.assert_array_equal(read.data, [zeros if n is None else values[n] for n in expected])
    assert made.name == "brain"


def test_the_newer_correction_of_a_place_counts(home: Path) -> None:
    keep((5, 5))
    keep((85, 85))
    found = keep((6, 6))
    assert found.places == 2
    with found.table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = [workflows.read_labels(found.folder / row["labels"]).data for row in rows]
    assert all(each[5, 5] for each in labels)  # the first correction had erased it
    assert len(list((found.folder / "labels").iterdir())) == len(rows)


def test_a_correction_next_to_an_older_one_leaves_that_known(home: Path) -> None:
    keep((45, 45))
    found = keep((45, 65))  # the square beside it: what lies around the two overlaps
    examples = find_examples(found.table)
    window = (slice(0, 96), slice(0, 96))
    older, newer = (Polygons(each.region or ()).mask(*window) for each in examples)
    assert not (older & newer).any()
    first, second = (workflows.read_labels(Path(str(each.labels))).data for each in examples)
    assert older[45, 45]
    assert first[45, 45] == 0
    assert newer[45, 65]
    assert second[45, 65] == 0
    assert (older | newer)[40:50, 40:70].all()
    assert len(list((found.folder / "regions").iterdir())) == 2
    # An outline whose box meets another one, without a pixel of its own in it, stays as it is.
    corner = ((0.0, 0.0), (0.0, 40.0), (5.0, 40.0), (5.0, 5.0), (40.0, 5.0), (40.0, 0.0))
    assert left_of(corner, (((20.0, 20.0), (20.0, 30.0), (30.0, 30.0), (30.0, 20.0)),)) == (corner,)


def test_the_newer_correction_counts_where_other_parts_of_an_image_were_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "_LARGE", 1000)
    monkeypatch.setattr(corrections, "_CONTEXT", 4)
    keep((45, 45))
    found = keep((52, 47))  # the gap below that square: another part of the image is kept
    rows = read_rows(found.folder)
    assert rows[0]["image"] != rows[1]["image"]
    seen = np.zeros((2, 96, 96), bool)
    for each, row in zip(seen, rows, strict=True):
        y, x = (slice(*map(int, part.partition("=")[2].split(":"))) for part in row["place"].split())
        region = parse_region((found.folder / row["region"]).read_text()) or ()
        each[y, x] = Polygons(region).mask(slice(0, y.stop - y.start), slice(0, x.stop - x.start))
    assert not seen.all(0).any()
    assert seen[0][42, 42]
    assert seen[1][52, 47]
    # Another image of that name says nothing of it.
    assert keep((45, 45), Image(picture().data + 1, "yx", name="field")).images == 3


def test_in_volumes_the_newer_correction_of_an_object_counts_whatever_planes_it_has(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ModelCard(name="deep", net=NetSpec(ndim=3), target=TargetSpec())
    monkeypatch.setattr(cards, "find_model", Path)
    monkeypatch.setattr(cards, "read_card", lambda _: card)
    image, before = picture((8, 96, 96), "zyx"), np.zeros((8, 96, 96), np.int32)
    before[2:5, 40:50, 40:50] = 1
    first, second = before.copy(), before.copy()
    first[2:5, 40:42, 40:50] = 0
    second[1:7, 40:50, 40:50] = 1
    for after in (first, second):
        found = workflows.collect(image, Image(after, "zyx"), Image(before, "zyx"), "deep")
    (row,) = read_rows(found.folder)
    assert row["place"] == "z=1:7 y=0:96 x=0:96"


def test_what_is_left_of_an_area_is_so_to_the_pixel() -> None:
    square = ((2.0, 3.0), (2.0, 30.0), (40.0, 30.0), (40.0, 3.0))
    inner = ((10.0, 10.0), (10.0, 20.0), (20.0, 20.0), (20.0, 10.0))
    across = ((25.0, 0.0), (25.0, 60.0), (28.0, 60.0), (28.0, 0.0))
    left = parse_region(region_text(left_of(square, (inner, across)))) or ()
    assert len(left) == 2  # one has a hole
    window = (slice(0, 50), slice(0, 50))
    wanted = Polygons([square]).mask(*window) & ~Polygons([inner, across]).mask(*window)
    np.testing.assert_array_equal(Polygons(left).mask(*window), wanted)
    assert left_of(square, (square,)) == ()
    assert left_of(square, (((2.0, 3.0), (2.0, 30.0), (39.0, 30.0), (39.0, 3.0)),)) == ()  # a row is a crumb


def test_a_family_of_models_shares_its_corrections(home: Path) -> None:
    assert keep((5, 5), model="gone").name == "gone"
    assert keep((5, 5), model="gone-2").folder == home / "gone.corrections"


def test_nothing_corrected_is_said(home: Path) -> None:
    labels = Image(squares(), "yx", name="cells")
    with pytest.raises(TrainingDataError, match="Nothing was corrected in 'cells'"):
        workflows.collect(picture(), labels, labels, "nuclei")
    assert not workflows.list_collections()


def test_when_the_disk_is_full_the_collection_is_what_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = keep((5, 5)).table
    before = table.read_bytes()

    def full(*_: Any) -> None:
        raise OutputError("The disk is full.")

    monkeypatch.setattr(collection, "_write_rows", full)
    with pytest.raises(OutputError):
        keep((85, 85))
    assert table.read_bytes() == before
    (found,) = workflows.list_collections()
    assert found.places == 1
