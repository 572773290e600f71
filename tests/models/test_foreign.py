"""Other programs' networks behind the face of a model: axes, sizes, halos, steps, meanings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import ModelError, RegistryError, SpecError
from napari_unet.core.foreign import ForeignSpec, StepSpec
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec
from napari_unet.core.specs import NormalizeSpec, SegmentSpec, TargetSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.models._meaning import find_meaning, is_probability
from napari_unet.models._steps import apply_steps, turned
from napari_unet.models.foreign import ForeignModel, open_foreign
from napari_unet.models.segment import plan_run, segment_image


def make(runner, *, ndim=2, inputs=1, target="foreground", normalize=None, **more):
    values = {"file": "weights.onnx", "format": "onnx", "sizes": ((1, 1),) * ndim, "halo": (0,) * ndim}
    axes = "bc" + "zyx"[3 - ndim :]
    spec = ForeignSpec.of(**values | {"axes": axes, "outputs": (axes,)} | more)
    card = ModelCard(
        name="theirs",
        net=NetSpec(architecture="foreign", ndim=ndim, inputs=inputs, widths=(1,)),
        target=TargetSpec(name=target, min_fraction=0),
        normalize=normalize or NormalizeSpec(kind="none", limits=None),
        tile_invariant=False,
        foreign=spec,
    )
    return ForeignModel(card, runner)


def rng_image(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("axes", ["bcyx", "byxc", "cyx", "yx", "bxcy", "xyb"])
def test_any_order_of_axes(axes):
    seen = []

    def runner(array):
        seen.append(array.shape)
        return [0.5 * array]

    model = make(runner, axes=axes, outputs=(axes,))
    image = rng_image(1, 1, 6, 4)
    np.testing.assert_array_equal(model.predict(image)[:, 0], 0.5 * image[:, 0])
    assert seen == [tuple({"b": 1, "c": 1, "y": 6, "x": 4}[a] for a in axes)]


def test_three_dimensions_and_two_outputs_in_other_orders():
    def runner(array):
        assert array.shape == (1, 6, 5, 4, 2)
        return [array[..., :1].transpose(0, 4, 1, 2, 3), array[0, ..., 1]]

    model = make(
        runner,
        ndim=3,
        inputs=2,
        target="boundary",
        axes="bxyzc",
        outputs=("bcxyz", "xyz"),
        after=((), ()),
        scores=((0,), (1,)),
    )
    image = rng_image(2, 2, 4, 5, 6)
    scores = model.predict(image)
    assert (model.outputs, scores.shape, scores.dtype) == (2, (2, 3, 4, 5, 6), np.float32)
    np.testing.assert_array_equal(scores[:, :2], image)
    assert not scores[:, 2].any(), "the object size is not known"


def test_every_image_of_a_batch_is_computed_by_itself():
    shapes = []
    model = make(lambda array: shapes.append(array.shape) or [array])
    model.predict(rng_image(3, 1, 4, 4))
    assert shapes == [(1, 1, 4, 4)] * 3


def test_lengths_that_the_network_takes():
    seen = []

    def runner(array):
        seen.append(array.shape[2:])
        return [array]

    model = make(runner, sizes=((20, 16), (7, 5)))
    for shape, wanted in (((20, 7), (20, 7)), ((3, 8), (20, 12)), ((21, 12), (36, 12)), ((52, 13), (52, 17))):
        image = rng_image(1, 1, *shape)
        scores = model.predict(image)
        assert seen.pop() == wanted
        np.testing.assert_array_equal(scores[:, 0], image[:, 0])
    assert model.multiple == (16, 5)


def test_a_fixed_size_is_cut_into_windows_whose_rims_are_not_used():
    def runner(array):
        assert array.shape[2:] == (16, 12)
        out = array.copy()
        out[..., :3, :] = out[..., -3:, :] = out[..., :2] = out[..., -2:] = 0.99
        return [out]

    model = make(runner, sizes=((16, 0), (12, 0)), halo=(3, 2))
    image = 0.5 * rng_image(1, 1, 41, 30)
    np.testing.assert_array_equal(model.predict(image)[0, 0, 3:-3, 2:-2], image[0, 0, 3:-3, 2:-2])
    assert model.multiple == (1, 1)
    small = 0.5 * rng_image(1, 1, 5, 7)
    np.testing.assert_array_equal(model.predict(small)[0, 0, 3:, 2:], small[0, 0, 3:, 2:])


def test_a_network_that_cuts_its_border_off():
    model = make(lambda array: [array[..., 3:-3, 2:-3]], halo=(3, 3))
    image = rng_image(1, 1, 20, 20)
    scores = model.predict(image)
    np.testing.assert_array_equal(scores[0, 0, 3:-3, 3:-3], image[0, 0, 3:-3, 3:-3])
    assert not scores[..., :3, :].any()
    with pytest.raises(ModelError, match=r"made \(40, 40\) pixels out of \(20, 20\)"):
        make(lambda array: [array.repeat(2, 2).repeat(2, 3)]).predict(image)


def test_scores_are_sums_and_opposites_of_channels():
    model = make(lambda array: [array], inputs=3, target="boundary", scores=((1, 2), (-1,)), size=2)
    image = rng_image(1, 3, 4, 4) / 2
    image[0, 0, 0, 0] = np.nan
    scores = model.predict(image)[0]
    np.testing.assert_allclose(scores[0], image[0, 1] + image[0, 2], rtol=1e-6)
    np.testing.assert_allclose(scores[1], np.nan_to_num(1 - image[0, 0]), rtol=1e-6)
    np.testing.assert_array_equal(scores[2], image[0, 2])


def test_what_does_not_fit_is_said():
    image = rng_image(1, 1, 4, 4)
    with pytest.raises(ModelError, match="takes 1 channels but was given 2"):
        make(lambda array: [array]).predict(rng_image(1, 2, 4, 4))
    with pytest.raises(ModelError, match=r"returned arrays of the shapes \[\(4, 4\)\]"):
        make(lambda array: [array[0, 0]]).predict(image)
    with pytest.raises(ModelError, match="returned arrays"):
        make(lambda array: []).predict(image)
    with pytest.raises(ModelError, match="has 1 channels, fewer than"):
        make(lambda array: [array], target="boundary", scores=((0,), (3,))).predict(image)
    with pytest.raises(ModelError, match="does not say for every channel of the target 'boundary'"):
        make(lambda array: [array], target="boundary")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"file": "../weights.onnx"}, "folder"),
        ({"file": "C:weights.onnx"}, "folder"),
        ({"axes": "bcyt"}, "letters"),
        ({"axes": "bcy"}, "letters"),
        ({"outputs": ("bcxx",)}, "letters"),
        ({"sizes": ((1, 1),)}, "2 entries"),
        ({"halo": (1, 1, 1)}, "2 entries"),
        ({"after": ()}, "1 outputs"),
        ({"format": "state_dict"}, "code"),
        ({"code": "a.py", "entry": "f"}, "code"),
        ({"format": "state_dict", "code": "../a.py", "entry": "f"}, "folder"),
    ],
)
def test_descriptions_that_contradict_themselves(changes, match):
    with pytest.raises(SpecError, match=match):
        make(lambda array: [array], **changes)


def test_dimensions_of_card_and_network_agree():
    spec = make(lambda array: [array]).spec
    with pytest.raises(ValueError, match="2 dimensions, the card says 3"):
        ModelCard(name="a", net=NetSpec(ndim=3), target=TargetSpec(), foreign=spec)


def test_cards_of_foreign_models_are_written_and_read():
    card = make(lambda array: [array], before=(StepSpec(kind="clip", least=0.0),)).card
    assert ModelCard.model_validate(json.loads(card.model_dump_json())) == card


def test_steps():
    image = np.array([[[[-300.0, 0.25]], [[0.5, 1000.0]]]], np.float32)

    def done(**step):
        result = apply_steps(image, [StepSpec(**step)])
        assert result.dtype == np.float32
        return result.ravel().tolist()

    assert done(kind="linear", gain=(2.0,), offset=(1.0,)) == [-599, 1.5, 2, 2001]
    assert done(kind="linear", gain=(2.0, 4.0), offset=(0.0, 1.0)) == [-600, 0.5, 3, 4001]
    assert done(kind="clip", least=0.0) == [0, 0.25, 0.5, 1000]
    assert done(kind="clip", most=0.3) == [-300, 0.25, pytest.approx(0.3), pytest.approx(0.3)]
    assert done(kind="clip") == image.ravel().tolist()
    assert done(kind="binarize", threshold=(0.25, 0.4)) == [0, 0, 1, 1]
    assert done(kind="sigmoid") == pytest.approx([0, 1 / (1 + np.exp(-0.25)), 1 / (1 + np.exp(-0.5)), 1])
    assert done(kind="softmax") == pytest.approx([0, 0, 1, 1], abs=1e-6)
    assert done(kind="cast", dtype="int16") == [-300, 0, 0, 1000]
    assert done(kind="cast", dtype="bool") == [1, 1, 1, 1]
    assert apply_steps(image, []) is image


def test_turning_refuses_what_would_lose_something():
    with pytest.raises(ModelError, match="does not fit the axes"):
        turned(np.zeros((2, 3, 4)), "cyx", "yx")
    with pytest.raises(ModelError, match="does not fit the axes"):
        turned(np.zeros((3, 4)), "cyx", "yx")


def disks(count=5, gap=24):
    y, x = np.mgrid[:64, : count * gap]
    return sum((np.hypot(y - 32, x - (i + 0.5) * gap) < 8) for i in range(count)).astype(np.uint16) * 3000 + 100


def test_objects_are_found_and_the_object_size_is_not_asked_for():
    """Raw intensities in, no size out: the image is taken as it is."""
    calls = []

    def runner(array):
        calls.append(array.max())
        return [array]

    model = make(runner, before=(StepSpec(kind="linear", gain=(1 / 3000,), offset=(-100 / 3000,)),))
    image = Image(disks(), "yx")
    result = finish(segment_image(image, SegmentSpec(), model))
    assert result.objects == 5
    assert (result.manifest["magnification"], result.manifest["precision"]) == ([1.0, 1.0], "float32")
    assert max(calls) == 1
    small = finish(segment_image(image, SegmentSpec(tiling=TilingSpec(tile=16)), model))
    assert small.manifest["labels_hash"] == result.manifest["labels_hash"]


def test_mean_and_spread_are_measured_once_for_the_image():
    image = Image(disks(), "yx")
    seen = []

    def runner(array):
        seen.append((float(array.min()), float(array.max())))
        return [array]

    model = make(runner, normalize=NormalizeSpec(kind="mean_std", limits=None, eps=1e-6))
    plan, _ = plan_run(image, SegmentSpec(tiling=TilingSpec(tile=16)), model)
    raw = image.data.astype(float)
    assert plan.statistics.low == pytest.approx((raw.mean(),))
    assert plan.statistics.high == pytest.approx((raw.mean() + raw.std(),))
    finish(segment_image(image, SegmentSpec(tiling=TilingSpec(tile=16)), model))
    least, most = ((v - raw.mean()) / raw.std() for v in (100, 3100))
    assert min(low for low, _ in seen) == pytest.approx(least, rel=1e-5)
    assert max(high for _, high in seen) == pytest.approx(most, rel=1e-5)


def test_opening_checks_the_file(tmp_path, bright):
    card = make(lambda array: [array]).card
    with pytest.raises(ModelError, match=r"weights\.onnx is missing"):
        open_foreign(tmp_path, card)
    (tmp_path / "weights.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="is not the file its card names"):
        open_foreign(tmp_path, card.model_copy(update={"sha256": "0" * 64}))
    own = ModelCard(name="own", net=NetSpec(), target=TargetSpec())
    with pytest.raises(ModelError, match="'own' is one of this program"):
        open_foreign(bright, own)


def values(*channels):
    return np.stack([np.full((4, 4), v, np.float32) for v in channels])


HALF = values(0.5, 0.5, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("names", "count", "target", "scores"),
    [
        (["foreground", "boundary"], 2, "boundary", ((0,), (1,))),
        (["Boundaries", "Foreground mask"], 2, "boundary", ((1,), (0,))),
        (["background", "foreground"], 2, "foreground", ((1,),)),
        (["background"], 1, "foreground", ((-1,),)),
        (["background", "nuclei", "border"], 3, "boundary", ((1, 2), (2,))),
        (["membrane"], 1, "boundary", ((-1,), (0,))),
        (["cell_probability"], 1, "foreground", ((0,),)),
        (["foreground", "distance", "touching"], 3, "distance", ((0,), (1,), (2,))),
        (["foreground", "heat", "size"], 3, "heat", ((0,), (1,))),
        (["", ""], 2, "boundary", ((0,), (1,))),
        ([""], 1, "foreground", ((0,),)),
        (["alpha"], 1, "foreground", ((0,),)),
    ],
)
def test_meanings_by_name_and_number(names, count, target, scores):
    found = find_meaning(names, values(*[0.4, 0.1, 0.3][:count]))
    assert (found.target.name, found.scores) == (target, scores)
    assert found.size == (2 if names[-1] == "size" else None)


def test_meanings_by_value():
    exclusive = find_meaning(["", ""], values(0.3, 0.7))
    assert (exclusive.target.name, exclusive.scores) == ("foreground", ((1,),))
    three = find_meaning([""] * 3, values(0.2, 0.5, 0.3))
    assert (three.target.name, three.scores) == ("border", ((1, 2), (1,)))


def test_meanings_that_the_user_gives():
    assert find_meaning(["", "", ""], HALF[:3], "distance").scores == ((0,), (1,), (2,))
    assert find_meaning(["", "", "", ""], HALF[:4], "distance").size == 3
    assert find_meaning(["membrane", "nuclei"], HALF[:2], "foreground").scores == ((1,),)
    assert find_meaning(["membrane", "nuclei"], HALF[:2], "boundary").scores == ((1,), (0,))
    with pytest.raises(ModelError, match=r"needs 3 channels .* this network has 2"):
        find_meaning(["", ""], HALF[:2], "distance")
    with pytest.raises(RegistryError, match="telepathy"):
        find_meaning([""], HALF[:1], "telepathy")


@pytest.mark.parametrize(
    ("names", "classes", "background", "scores"),
    [
        ([""] * 4, ("class 1", "class 2", "class 3"), True, (0, 1, 2, 3)),
        (["Background", "Road", "Grass"], ("Road", "Grass"), True, (0, 1, 2)),
        (["road", "grass", "bg"], ("road", "grass"), True, (2, 0, 1)),
        (["road", "grass", "roof"], ("road", "grass", "roof"), False, (0, 1, 2)),
        (["road", "road"], ("class 1",), True, (0, 1)),
    ],
)
def test_channels_that_are_classes_of_pixels(names, classes, background, scores):
    found = find_meaning(names, np.zeros((len(names), 2, 2), np.float32), "classes")
    assert (found.target.name, found.target.classes, found.target.background) == ("classes", classes, background)
    assert found.scores == tuple((i,) for i in scores)
    assert found.size is None


def test_meanings_that_are_not_known():
    with pytest.raises(ModelError, match=r"what the 5 channels of this network mean\. Say it with target"):
        find_meaning([""] * 5, HALF)
    with pytest.raises(ModelError, match=r"\(a, b, c\)"):
        find_meaning(["a", "b", "c"], HALF[:3])


def test_probabilities():
    assert is_probability(values(0, 1))
    assert not is_probability(values(-0.1, 1))
    assert not is_probability(values(0, 1.2))
