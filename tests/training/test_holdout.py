"""Whole groups are held out, and the same image is never on both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import TrainingDataError
from napari_unet.core.examples import Example
from napari_unet.core.rasterize import Polygons
from napari_unet.core.specs import TrainSpec
from napari_unet.training.holdout import check_leaks, hold_out, name_groups
from napari_unet.training.pairs import make_pair


def example(name, group="", held_out=None):
    image = Image(np.zeros((40, 60)), "yx", name=name)
    return Example(image, Image(np.zeros((40, 60), int), "yx", name=name), group=group, held_out=held_out)


def names(examples):
    return [e.name for e in examples]


def test_nothing_is_held_out_unasked():
    split = hold_out([example("a"), example("b")], TrainSpec())
    assert (names(split.learned), split.held_out) == (["a", "b"], [])
    assert "none is held out" in split.words


def test_whole_groups_are_held_out():
    examples = [example(f"{p}{i}", f"patient {p}") for p in "abcdefgh" for i in range(3)]
    split = hold_out(examples, TrainSpec(validation=0.25))
    assert (len(split.learned), len(split.held_out)) == (18, 6)
    assert not {e.group for e in split.learned} & {e.group for e in split.held_out}
    assert hold_out(examples[::-1], TrainSpec(validation=0.25)).held_out == split.held_out[::-1]
    others = {tuple(names(hold_out(examples, TrainSpec(validation=0.25, seed=s)).held_out)) for s in range(5)}
    assert len(others) > 1
    # More images of other patients leave most of the choice as it is.
    more = hold_out([*examples, *(example(f"new{i}") for i in range(2))], TrainSpec(validation=0.2))
    assert len({e.group for e in more.held_out} & {e.group for e in split.held_out}) >= 1


def test_what_is_held_out_does_not_depend_on_how_the_way_to_it_is_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def chosen(folder, tails):
        split = hold_out([Example(Path(folder) / tail, Path(tail)) for tail in tails], TrainSpec(validation=0.5))
        return [tails.index(str(each.image.relative_to(folder))) for each in split.held_out]

    flat = [f"{i}.tif" for i in range(12)]
    nested = [f"case{i}/T1.tif" for i in range(11)] + ["T1.tif"]
    for tails in (flat, nested):
        found = chosen("data", tails)
        assert len(found) == 6
        for folder in (tmp_path / "data", "../data", "./x/../data"):
            assert chosen(folder, tails) == found
    assert chosen("data", flat) == chosen(tmp_path / "elsewhere" / "my.training" / "images", flat)
    # Others that come from elsewhere change nothing but how many there are.
    assert {*chosen("data", nested[:8])} & {*chosen("data", nested)}


def test_groups_are_called_by_no_more_folders_than_needed():
    files = ["a/one.tif", "a/two.tif", "b/two.tif", "c/b/two.tif"]
    examples = [Example(Path("/data") / file, Path(file)) for file in files]
    assert [*name_groups(examples).values()] == ["one.tif", "a/two.tif", "data/b/two.tif", "c/b/two.tif"]
    assert name_groups([example("x", "patient"), example("layer")]) == {"patient": "patient", "layer": "layer"}
    pair = Example((Path("/p1/T1.nii"), Path("/p1/FLAIR.nii")), Path("l.nii"))
    assert [*name_groups([pair, replace(pair, image=(Path("/p2/T1.nii"), Path("/p2/F.nii")))]).values()] == [
        "p1/T1.nii", "p2/T1.nii"
    ]  # fmt: skip


def test_a_share_holds_out_at_least_one_group_and_leaves_one():
    split = hold_out([example("a"), example("b")], TrainSpec(validation=0.01))
    assert len(split.held_out) == 1
    assert split.words == "1 image is learned from, 1 held out to judge."
    assert len(hold_out([example("a"), example("b")], TrainSpec(validation=0.9)).held_out) == 1


def test_what_examples_say_comes_first():
    examples = [example("a", held_out=True), example("b"), example("c"), example("d", "one", False)]
    split = hold_out(examples, TrainSpec(validation=0.5))
    assert (names(split.held_out), names(split.learned)) == (["a"], ["b", "c", "d"])
    never = hold_out([example("a", held_out=False), example("b")], TrainSpec(validation=0.5))
    assert names(never.held_out) == ["b"]
    with pytest.raises(TrainingDataError, match="group 'one' are both"):
        hold_out([example("a", "one", True), example("b", "one", False)], TrainSpec())
    with pytest.raises(TrainingDataError, match="Leave some to learn from"):
        hold_out([example("a", held_out=True)], TrainSpec())


def test_a_single_image_is_not_cut_unsaid():
    split = hold_out([example("a")], TrainSpec(validation=0.2))
    assert (split.held_out, split.learned[0].region) == ([], None)
    assert "--validation 0.2" in hold_out([example("a")], TrainSpec(corner=True)).warnings[0]
    assert "nothing is held out" in split.warnings[0]
    assert "corner: yes" in split.warnings[0]


def test_a_corner_of_a_single_image():
    split = hold_out([example("a")], TrainSpec(validation=0.25, corner=True))
    masks = [Polygons(e[0].region).mask(slice(0, 40), slice(0, 60)) for e in (split.learned, split.held_out)]
    assert (masks[0] ^ masks[1]).all()
    assert masks[1].sum() == 20 * 30
    assert masks[1][20:, 30:].all()
    assert "better than they would be on another image" in split.warnings[0]
    drawn = replace(example("a"), region=(((0, 0), (0, 9), (9, 9)),))
    with pytest.raises(TrainingDataError, match="region of its own"):
        hold_out([drawn], TrainSpec(validation=0.25, corner=True))


def test_the_same_image_on_both_sides_is_found():
    image, labels = np.zeros((1, 8, 8), np.float32), np.zeros((8, 8), int)
    one = replace(make_pair(image, labels, "one"), digest="ab", group="one")
    two = replace(one, name="two", group="two")
    with pytest.raises(TrainingDataError, match=r"'two' is held out .* learned from as 'one'"):
        check_leaks([one], [two])
    check_leaks([one], [replace(two, digest="cd")])
    check_leaks([one], [replace(two, group="one")])  # a corner of it, which was said
