"""The settings of a segmentation: several models, averages, uncertainty."""

from __future__ import annotations

import pytest

from napari_unet.core.errors import SpecError
from napari_unet.core.specs import SegmentSpec


@pytest.mark.parametrize(
    ("model", "stored", "models"),
    [
        ("a", "a", ("a",)),
        (["a"], "a", ("a",)),
        (["a", "b"], ("a", "b"), ("a", "b")),
        (("a", "b"), ("a", "b"), ("a", "b")),
    ],
)
def test_one_model_or_several(model, stored, models):
    spec = SegmentSpec.of(model=model)
    assert (spec.model, spec.models) == (stored, models)
    assert SegmentSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("model", [[], ["a", "a"], ["a", 3], None])
def test_what_names_no_models(model):
    with pytest.raises(SpecError, match="model"):
        SegmentSpec.of(model=model)


@pytest.mark.parametrize("options", [{}, {"dropout_samples": 1}, {"model": ["a"]}, {"average": "none"}])
def test_uncertainty_needs_several_answers(options):
    with pytest.raises(SpecError, match=r"uncertainty needs several answers.*average.*dropout_samples.*several models"):
        SegmentSpec.of(uncertainty=True, **options)


@pytest.mark.parametrize("options", [{"dropout_samples": 2}, {"model": ["a", "b"]}, {"average": "flips"}])
def test_uncertainty_with_several_answers(options):
    assert SegmentSpec.of(uncertainty=True, **options).uncertainty


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"link_z": 1.5}, "link_z"),
        ({"link_z": -0.1}, "link_z"),
        ({"average": "mirrors"}, "'none', 'flips' or 'rotations'"),
        ({"dropout_samples": -1}, "dropout"),
    ],
)
def test_bad_values_are_named(options, said):
    with pytest.raises(SpecError, match=said):
        SegmentSpec.of(**options)


def test_nothing_is_averaged_by_itself():
    spec = SegmentSpec()
    assert (spec.average, spec.dropout_samples, spec.uncertainty, spec.runtime) == ("none", 0, False, "auto")
