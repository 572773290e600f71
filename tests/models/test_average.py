"""Averaged scores are the mean of their members, and depend as little on tiles as those of one model."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import as_image
from napari_unet.core.errors import ModelError
from napari_unet.core.model_card import ModelCard
from napari_unet.core.registry import names
from napari_unet.core.results import MOST_UNCERTAIN
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.models._turns import AVERAGES, Turn, turns
from napari_unet.models.average import Averaged, gather
from napari_unet.models.model import Model
from napari_unet.models.segment import plan_run, segment_image
from napari_unet.models.store import read_network, write_model
from napari_unet.models.zoo import load_model
from napari_unet.nets import build
from napari_unet.targets import directions, target
from napari_unet.tiling.statistics import Statistics
from napari_unet.tiling.stream import Plan, score_plane
from napari_unet.workflows import segment

SCALAR = (None,) * 9


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def network(spec, seed=0):
    torch.manual_seed(seed)
    made = build(spec)
    made.train()(torch.randn(2, spec.inputs, *(16,) * spec.ndim))
    return made.eval()


def model(seed=0, name="distance"):
    spec = NetSpec(inputs=1, outputs=4, widths=(8, 16), convolutions=1)
    return Model(ModelCard(name=f"m{seed}", net=spec, target=TargetSpec(name=name)), network(spec, seed), "cpu")


def local(name="distance", channels=4, halo=(5, 5), multiple=(4, 4), **facts):
    """A stand-in for a model: sees no symmetry, pools on a grid, and computes in whole numbers, so exactly."""

    def predict(batch):
        whole = np.rint(batch.astype(np.float64) * 1024).astype(np.int64)
        pooled = whole
        for axis, step in enumerate(multiple, start=2):
            cells = np.add.reduceat(pooled, np.arange(0, whole.shape[axis], step), axis=axis)
            pooled = cells.repeat(step, axis=axis)
        near = ndimage.maximum_filter(whole, (1, 1, *(2 * reach + 1 for reach in halo)))
        # Other pixels before than after: mirrored, it is another operator.
        ahead = np.roll(whole, -2, axis=-1) * 3 + np.roll(whole, 1, axis=-2) * 11
        mixed = (near * 7 + pooled * 3 + ahead)[:, :1]
        return np.concatenate([(mixed * (k + 2)) % (1021 + k) / (1020 + k) for k in range(channels)], 1).astype("f4")

    card = ModelCard(name="local", net=NetSpec(ndim=len(halo)), target=TargetSpec(name=name), **facts)
    plain = [halo[0] if len(set(halo)) == 1 else halo, multiple[0] if len(set(multiple)) == 1 else multiple]
    return SimpleNamespace(
        card=card, device="cpu", precision="exact", halo=plain[0], multiple=plain[1], outputs=channels - 1,
        predict=predict,
    )  # fmt: skip


# Turns


@pytest.mark.parametrize(("average", "ndim", "count"), [
    ("none", 2, 1), ("flips", 2, 4), ("rotations", 2, 8), ("none", 3, 1), ("flips", 3, 8), ("rotations", 3, 16),
])  # fmt: skip
def test_there_are_as_many_views_as_promised_and_each_is_undone(average, ndim, count):
    batch = noise(2, 3, *(4, 6, 8)[-ndim:])
    found = turns(average, ndim)
    views = [turn.apply(batch) for turn in found]
    assert len({(view.shape, view.tobytes()) for view in views}) == len(found) == count
    assert views[0].tobytes() == batch.tobytes()
    for turn, view in zip(found, views, strict=True):
        np.testing.assert_array_equal(turn.undo(view, SCALAR), batch)


def test_rotations_are_the_eight_views_of_a_square():
    batch = noise(1, 1, 6, 6)
    expected = {np.rot90(side, k, (2, 3)).tobytes() for side in (batch, batch[..., ::-1]) for k in range(4)}
    assert {turn.apply(batch).tobytes() for turn in turns("rotations", 2)} == expected
    # Depth is mirrored and never turned into the plane: planes are seldom as near as pixels.
    assert {turn.order[0] for turn in turns("rotations", 3)} == {0}


def irregular(ndim):
    """Objects of which one pixel is the nearest to the middle: of two, turned labels might choose the other."""
    rng = np.random.default_rng(4)
    shape = (7, 24, 36)[-ndim:]
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), (1.5, 2, 2)[-ndim:])
    labels, count = ndimage.label(smooth > 0.4 * smooth.max())
    for i in range(1, count + 1):
        pixels = np.argwhere(labels == i)
        away = np.sort(((pixels - pixels.mean(0)) ** 2).sum(1))
        if len(away) > 1 and away[1] - away[0] < 0.01:
            labels[labels == i] = 0
    return labels


@pytest.mark.parametrize(
    ("name", "ndim"),
    [(name, ndim) for name in names("targets") for ndim in (2, 3) if ndim == 2 or name not in ("offsets", "motion")],
)
def test_turned_back_targets_are_those_of_the_labels(name, ndim):
    labels, learn = irregular(ndim), target(name)
    expected = learn.encode(labels)[: len(learn.CHANNELS)]
    assert len(np.unique(labels)) > 4
    assert len(directions(name)) == len(learn.CHANNELS)
    for turn in turns("rotations", ndim):
        turned = learn.encode(turn.apply(labels[None, None])[0, 0])[: len(learn.CHANNELS)]
        back = turn.undo(turned[None], directions(name))[0]
        np.testing.assert_allclose(back, expected, atol=1e-5)
        np.testing.assert_array_equal(np.rint(back * 255)[0], np.rint(expected * 255)[0])
    signed = [d for d in directions(name) if d is not None]
    assert signed == ([0, 1] if name in ("offsets", "motion") else [])


def test_a_zero_offset_is_stored_as_zero_from_every_side():
    labels = np.zeros((9, 9), np.int32)
    labels[4, 4] = 1
    for turn in turns("rotations", 2):
        scores = turn.undo(target("offsets").encode(turn.apply(labels[None, None])[0, 0])[None, :3], (None, 0, 1))
        assert set(np.unique(np.rint(scores[0, 1:] * 255))) == {128}


def test_two_vectors_keep_to_themselves_and_half_a_vector_cannot_be_turned():
    scores = noise(1, 5, 4, 4)
    across = Turn((1, 0))
    found = across.undo(scores, (0, 1, None, 0, 1))
    np.testing.assert_array_equal(found[0, [1, 0, 2, 4, 3]], scores[0].transpose(0, 2, 1))
    with pytest.raises(ModelError, match="'flips'"):
        across.undo(scores, (None, 0))
    mirrored = Turn((0, 1), (0,)).undo(scores, (None, 0))
    np.testing.assert_allclose(mirrored[0, 1], 256 / 255 - scores[0, 1, ::-1], atol=1e-6)


# The mean


def by_hand(predict, batch):
    """Return the scores of all eight views, made with other functions."""
    answers = []
    for mirror, k in itertools.product((False, True), range(4)):
        view = np.rot90(batch[..., ::-1] if mirror else batch, k, (2, 3))
        back = np.rot90(predict(np.ascontiguousarray(view)), -k, (2, 3))
        answers.append(back[..., ::-1] if mirror else back)
    return np.stack(answers)


def test_scores_are_the_mean_and_uncertainty_is_the_deviation():
    one, batch = model(), noise(2, 1, 12, 20)
    answers = by_hand(one.predict, batch)
    both = Averaged([(one, turn) for turn in turns("rotations", 2)], uncertainty=True)
    found = both.predict(batch)
    assert (found.dtype, found.shape, both.outputs) == (np.float32, (2, 5, 12, 20), 4)
    np.testing.assert_allclose(found[:, [0, 1, 2, 4]], answers.mean(0), atol=1e-6)
    np.testing.assert_allclose(found[:, 3] * MOST_UNCERTAIN, answers[:, :, 0].std(0), atol=1e-6)
    assert found[:, 3].max() > 0.005
    plain = Averaged([(one, turn) for turn in turns("rotations", 2)])
    assert plain.predict(batch).tobytes() == np.delete(found, 3, 1).tobytes()


def test_whoever_agrees_is_certain_and_whoever_contradicts_is_most_uncertain():
    batch, here = noise(1, 1, 8, 8), Turn((0, 1))

    def says(value):
        one = local()
        one.predict = lambda batch: np.full((len(batch), 4, *batch.shape[2:]), value, np.float32)
        return one, here

    assert not Averaged([says(0.3), says(0.3), says(0.3)], True).predict(batch)[:, 3].any()
    assert (Averaged([says(0.0), says(1.0)], True).predict(batch)[:, 3] == 1).all()


def test_who_does_not_know_the_size_has_no_say_in_it():
    batch, here = noise(1, 1, 8, 8), Turn((0, 1))
    knows, silent = local(), local()
    silent.predict = lambda batch: np.concatenate([knows.predict(batch)[:, :-1], np.zeros((1, 1, 8, 8), "f4")], 1)
    found = Averaged([(silent, here), (knows, here), (silent, here)]).predict(batch)
    np.testing.assert_allclose(found, knows.predict(batch), atol=1e-6)
    assert not Averaged([(silent, here)]).predict(batch)[:, -1].any()


def test_a_turned_image_has_turned_scores():
    one, batch = model(3, "offsets"), noise(1, 1, 16, 16)
    whole = Averaged([(one, turn) for turn in turns("rotations", 2)], True)
    expected = whole.predict(batch)
    for turn in turns("rotations", 2):
        found = turn.undo(whole.predict(np.ascontiguousarray(turn.apply(batch))), directions("offsets"))
        np.testing.assert_allclose(found, expected, atol=2e-3 if one.precision == torch.float32 else 5e-2)


# No tile and no batch changes anything


def stored(whole, data, factor, tiling):
    unit = Statistics((0.0,), (1.0,))
    plan = Plan(factor, unit, whole.halo, whole.multiple, outputs=whole.outputs, tiling=tiling)
    scores = np.zeros((plan.outputs, *data.shape), np.uint8)
    (plane,) = as_image(data).planes(data.ndim)
    for _ in score_plane(plane, plan, whole.predict, scores):
        pass
    return scores


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 7),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.sampled_from([0.5, 1.0, 1.0, 1.7]),
    st.builds(TilingSpec, tile=st.integers(4, 40), batch=st.integers(1, 5), workers=st.integers(1, 3)),
    st.sampled_from(["flips", "rotations"]),
    st.sampled_from(["distance", "offsets"]),
)
def test_tiled_is_untiled(seed, shape, factor, tiling, average, name):
    one, other = local(name), local(name, multiple=(2, 2), halo=(6, 6))
    whole = Averaged([(each, turn) for each in (one, other) for turn in turns(average, 2)], uncertainty=True)
    assert (whole.halo, whole.multiple, whole.outputs) == (6, 4, 4)
    data = noise(*shape, seed=seed)
    at_once = stored(whole, data, (factor,) * 2, TilingSpec(tile=10**6, workers=1))
    assert at_once.tobytes() == stored(whole, data, (factor,) * 2, tiling).tobytes()
    assert min(shape) < 8 or at_once[3].any()


@settings(deadline=None, max_examples=6)
@given(st.tuples(st.integers(1, 6), st.integers(1, 20), st.integers(1, 20)), st.integers(4, 16), st.integers(1, 3))
def test_tiled_is_untiled_in_3d(shape, tile, batch):
    one = local(halo=(2, 3, 3), multiple=(2, 2, 2))
    one.halo = 3
    whole = Averaged([(one, turn) for turn in turns("rotations", 3)], uncertainty=True)
    data = noise(*shape)
    at_once = stored(whole, data, (1.0,) * 3, TilingSpec(tile=10**6, workers=1))
    cut = stored(whole, data, (1.0,) * 3, TilingSpec(tile=tile, batch=batch, workers=2))
    assert at_once.tobytes() == cut.tobytes()


def test_where_axes_differ_a_turned_network_needs_both():
    flat = local(halo=(5, 2), multiple=(4, 1))
    assert Averaged([(flat, turn) for turn in turns("flips", 2)]).halo == (5, 2)
    both = Averaged([(flat, turn) for turn in turns("rotations", 2)])
    assert (both.halo, both.multiple) == (5, 4)
    deep = local(halo=(1, 5, 5), multiple=(1, 4, 4))
    both = Averaged([(deep, turn) for turn in turns("rotations", 3)])
    assert (both.halo, both.multiple) == ((1, 5, 5), (1, 4, 4))


def test_a_flat_network_sees_depth_as_it_does_in_one_piece():
    spec = NetSpec(ndim=3, inputs=1, outputs=4, widths=(8, 16), convolutions=1, strides=((1, 2, 2),))
    spec = spec.model_copy(update={"kernels": ((1, 3, 3), (3, 3, 3))})
    card = ModelCard(name="flat", net=spec, target=TargetSpec(name="distance"))
    one = Model(card, network(spec), "cpu")
    whole = Averaged([(one, turn) for turn in turns("rotations", 3)], uncertainty=True)
    assert whole.multiple == (1, 2, 2)
    assert whole.halo[0] < whole.halo[1] == whole.halo[2]
    data = noise(5, 18, 23)
    at_once = stored(whole, data, (1.0,) * 3, TilingSpec(tile=10**6, workers=1))
    cut = stored(whole, data, (1.0,) * 3, TilingSpec(tile=8, batch=3, workers=2))
    assert at_once.tobytes() == cut.tobytes()
    assert at_once[3].any()


def test_the_inside_of_a_tile_is_predicted_alike():
    one, two = model(1), local()
    whole = Averaged([(each, turn) for each in (one, two) for turn in turns("rotations", 2)], uncertainty=True)
    assert one.predict_inner is not None
    assert not hasattr(two, "predict_inner")
    batch = noise(2, 1, 40, 28)
    inside = (..., *(slice(whole.halo, -whole.halo),) * 2)
    found, expected = whole.predict_inner(batch), whole.predict(batch)
    np.testing.assert_array_equal(found[inside], expected[inside])
    assert found.tobytes() != expected.tobytes()


CUTS = [(10**6, 1, 1), (16, 1, 2), (24, 3, 2), (40, 5, 1)]


@pytest.mark.parametrize(("average", "diameter"), [("flips", 9.0), ("rotations", 12.0)])
def test_no_tiling_changes_labels_or_uncertainty(average, diameter, bright, disks):
    found = [
        segment(
            disks[0][:70, :90], model=str(bright), device="cpu", diameter=diameter, average=average, uncertainty=True,
            tiling=TilingSpec(tile=tile, batch=batch, workers=workers),
        )
        for tile, batch, workers in CUTS
    ]  # fmt: skip
    assert found[0].objects > 10
    assert len({each.hash for each in found}) == 1
    assert len({each.uncertainty.data.tobytes() for each in found}) == 1
    assert 0 < found[0].uncertainty.data.max() <= MOST_UNCERTAIN


def test_objects_are_made_of_the_targets_channels_alone(disks):
    one = model(5, "offsets")
    one.card = one.card.model_copy(update={"target": TargetSpec(name="offsets", persistence=0.0)})
    members = [(one, turn) for turn in turns("rotations", 2)]
    spec = SegmentSpec(device="cpu", diameter=24.0, threshold=0.4, min_size=3)
    image = as_image(disks[0][:40, :56])
    found = [finish(segment_image(image, spec, Averaged(members, uncertainty))) for uncertainty in (False, True)]
    assert found[0].objects > 1
    assert found[0].hash == found[1].hash
    assert found[0].uncertainty is None
    assert found[1].uncertainty.data.any()


# Ensembles


@pytest.fixture(scope="module")
def second(bright, tmp_path_factory):
    """Folder of a model like the bright one that looks for slightly brighter things."""
    card = load_model(str(bright), "cpu").card
    other = read_network(bright, card)
    with torch.no_grad():
        other.head.bias[0] -= 2
    folder = tmp_path_factory.mktemp("second") / "second"
    write_model(folder, card.model_copy(update={"name": "second"}), other)
    return folder


def test_an_ensemble_is_the_mean_of_its_models(bright, second):
    batch = noise(1, 3, 16, 24)
    models = [load_model(str(folder), "cpu") for folder in (bright, second)]
    both = gather(SegmentSpec(model=(str(bright), str(second)), device="cpu"))
    expected = np.mean([each.predict(batch) for each in models], axis=0)
    np.testing.assert_allclose(both.predict(batch), expected, atol=1e-6)
    assert both.card.name == "bright + second"
    record = [{"name": each.card.name, "sha256": each.card.sha256} for each in models]
    assert both.record == {"models": record, "answers": 2, "dropout_seeds": []}
    assert both.card.sha256 not in {each.card.sha256 for each in models}
    assert len(both.card.sha256) == 64


def test_the_record_of_an_ensemble_is_complete(bright, second, disks):
    spec = SegmentSpec(model=[str(bright), str(second)], average="flips", device="cpu", diameter=12.0)
    found = segment(disks[0][:48, :48], spec)
    manifest = found.manifest
    assert json.loads(json.dumps(manifest)) == manifest
    assert [one["name"] for one in manifest["averaged"]["models"]] == ["bright", "second"]
    assert manifest["averaged"]["answers"] == 8
    assert (manifest["settings"]["average"], manifest["settings"]["model"]) == ("flips", [str(bright), str(second)])
    assert found.uncertainty is None
    # The settings of the record do it again.
    assert segment(disks[0][:48, :48], SegmentSpec.of(**manifest["settings"])).hash == found.hash


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"name": "heat"}, "what their scores mean (distance and heat)"),
        ({"channels": 5}, "the number of scores (3 and 4)"),
        ({"diameter": 30.0}, "object width (24.0 and 30.0)"),
        ({"normalize": {"low": 2.0}}, "normalization"),
        ({"halo": (5, 5, 5), "multiple": (2, 2, 2)}, "dimensions (2 and 3)"),
    ],
)
def test_models_that_differ_are_not_averaged(facts, said):
    here, other = Turn((0, 1)), local(**facts)
    with pytest.raises(ModelError) as caught:
        Averaged([(local(), here), (other, here)])
    assert said in str(caught.value)
    assert "trained with the same settings" in str(caught.value)


def test_models_for_other_channels_are_not_averaged():
    here, other = Turn((0, 1)), local()
    other.card = other.card.model_copy(update={"channels": (1, 3)})
    with pytest.raises(ModelError, match=r"channels of an image \(\(1,\) and \(1, 3\)\)"):
        Averaged([(local(), here), (other, here)])


def test_one_model_by_two_names_is_refused(bright, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    with pytest.raises(ModelError, match="named before"):
        gather(SegmentSpec(model=("bright", str(bright)), device="cpu"))


# Dropout


@pytest.fixture(scope="module")
def unsure(tmp_path_factory):
    """Folder of an untrained model with dropout that finds many things."""
    spec = NetSpec(inputs=1, outputs=4, widths=(8, 16), convolutions=1, dropout=0.3)
    made = network(spec, 1)
    with torch.no_grad():
        made.head.weight.mul_(8)
        made.head.bias.sub_(made(torch.rand(1, 1, 64, 64)).mean((0, 2, 3)))
    folder = tmp_path_factory.mktemp("unsure") / "unsure"
    card = ModelCard(name="unsure", net=spec, target=TargetSpec(name="distance"), diameter=8.0)
    write_model(folder, card, made)
    return folder


def test_dropout_samples_are_networks_of_their_own(unsure, disks):
    options = {"model": str(unsure), "device": "cpu", "diameter": 8.0, "min_size": 2}
    batch = noise(1, 1, 16, 16)
    some = gather(SegmentSpec(**options, dropout_samples=3))
    answers = [one.predict(batch) for one, _ in some.members]
    assert len({answer.tobytes() for answer in answers}) == 3
    assert [one.predict(batch).tobytes() for one, _ in some.members] == [answer.tobytes() for answer in answers]
    np.testing.assert_allclose(some.predict(batch), np.mean(answers, axis=0), atol=1e-6)
    assert some.record["dropout_seeds"] == [0, 1, 2]
    found = [
        segment(disks[0][:48, :60], **options, dropout_samples=3, uncertainty=True, tiling=TilingSpec(tile=tile))
        for tile in (0, 16)
    ]
    assert found[0].objects > 3
    assert found[0].hash == found[1].hash != segment(disks[0][:48, :60], **options).hash
    assert found[0].uncertainty.data.tobytes() == found[1].uncertainty.data.tobytes()
    assert found[0].uncertainty.data.max() > 0.05
    assert found[0].manifest["averaged"]["answers"] == 3
    assert len(gather(SegmentSpec(**options, dropout_samples=2, average="flips")).members) == 8


def test_one_sample_is_recorded_too(unsure):
    one = gather(SegmentSpec(model=str(unsure), device="cpu", dropout_samples=1))
    assert one.record["dropout_seeds"] == [0]
    assert one.predict(noise(1, 1, 8, 8)).shape == (1, 4, 8, 8)


def test_without_dropout_there_is_nothing_to_sample(bright):
    with pytest.raises(ModelError, match=r"trained without dropout.*dropout_samples to 0"):
        gather(SegmentSpec(model=str(bright), device="cpu", dropout_samples=4))


# Nothing averaged


def test_what_is_off_costs_nothing_and_changes_nothing(bright, disks):
    spec = SegmentSpec(model=str(bright), device="cpu")
    one = gather(spec)
    assert one is load_model(str(bright), "cpu")
    image = as_image(disks[0])
    found = segment(image, spec)
    assert found.uncertainty is None
    assert "averaged" not in found.manifest
    # The labels, made by hand of the stored scores of the model alone.
    plan, diameter = plan_run(image, spec, one)
    scores = np.zeros((3, *image.shape), np.uint8)
    for _ in score_plane(image.planes(2)[0], plan, one.predict, scores):
        pass
    smallest = one.card.target.min_fraction * np.pi / 4 * diameter**2
    labels = target("distance").decode(scores, one.card.target, smallest)
    np.testing.assert_array_equal(found.labels.data, labels)
    assert found.diameter == diameter


def test_one_answer_in_the_form_of_several_is_the_same(bright, disks):
    spec = SegmentSpec(model=str(bright), device="cpu")
    alone = Averaged([(load_model(str(bright), "cpu"), Turn((0, 1)))], uncertainty=True)
    found = finish(segment_image(as_image(disks[0]), spec, alone))
    assert found.hash == segment(disks[0], spec).hash
    assert not found.uncertainty.data.any()


def test_the_choices_of_the_settings_are_those_of_the_views():
    from typing import get_args

    assert get_args(SegmentSpec.model_fields["average"].annotation) == AVERAGES
