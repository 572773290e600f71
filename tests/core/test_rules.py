"""Rules by which an image fails: read by a grammar, and by nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.defects import Defect
from napari_unet.core.errors import SpecError
from napari_unet.core.inspecting import InspectSpec
from napari_unet.core.rules import parse_rule


def defect(kind="crack", area=100.0, length=20.0, side=0.1, confidence=None):
    scaled = {"area_mm2": area * side**2, "length_mm": length * side} if side else {}
    return Defect(kind, area, length, 1, 2, (0, 0, 3, 3), confidence=confidence, **scaled)


ONE = [defect(), defect("blow hole", 10, 4), defect("crack", 5, 3)]


@pytest.mark.parametrize(
    ("rule", "fails"),
    [
        ("area > 99", True), ("area > 100", False), ("area >= 100", True), ("area > 0.9 mm2", True),
        ("area > 1.1mm²", False), ("area>0.009 cm2", True), ("length > 1.9 mm", True), ("length > 2000 um", False),
        ("length > 1900 \u00b5m", True), ("length > 1900 \u03bcm", True),
        ("length < 4", True), ("length < 0.3 mm", False), ("class = crack", True), ("class = CRACK", True),
        ("class != crack", True), ("class = 'blow hole'", True), ("class = hole", False),
        ("class = crack and area > 50", True), ("class = 'blow hole' and area > 50", False),
        ("count > 2", True), ("count > 3", False), ("count = 3", True), ("class = crack and count >= 2", True),
        ("class = crack and area > 50 and count >= 2", False), ("class = scratch and count = 0", True),
        ("class = scratch or area > 99", True), ("(class = crack or class = scratch) and count = 2", True),
        ("not class = crack", True), ("not (class = crack or area < 50)", False), ("NOT area < 200", False),
        ("class = 'blow hole' and area > 5 or count > 9", True), ("area > 1e2", False), ("area > .5", True),
    ],
)  # fmt: skip
def test_an_image_fails_by_a_rule(rule, fails):
    assert bool(parse_rule(rule).failed_by(ONE)) is fails


@pytest.mark.parametrize(("side", "pixels"), [(0.1, 3), (0.05, 7), (0.02, 73), (0.01, 57), (0.025, 611)])
def test_what_is_as_large_as_the_limit_is_not_larger(side, pixels):
    one = [defect(area=pixels, length=pixels, side=side)]
    square = round(side**2 * 1e6)
    limits = {"area": f"{pixels * square / 1e6:.10g} mm2", "length": f"{pixels * round(side * 1000)} um"}
    for word, limit in limits.items():
        assert not parse_rule(f"{word} > {limit}").failed_by(one)
        assert not parse_rule(f"{word} < {limit}").failed_by(one)
        assert parse_rule(f"{word} >= {limit} and {word} <= {limit} and {word} = {limit}").failed_by(one)


def test_the_part_that_failed_it_is_told():
    rule = parse_rule("area>1000 or class=crack and area > 0.5 mm2 and count>=1")
    assert rule.failed_by(ONE) == "class = crack and area > 0.5 mm2 and count >= 1"
    assert rule.failed_by([]) == ""
    assert parse_rule("count = 0").failed_by([]) == "count = 0"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "is empty"), ("area", "lacks a comparison"), ("area >", "lacks a number at its end"),
        ("area > big", "lacks a number before 'big'"), ("size > 3", "lacks one of class, count, area"),
        ("area > 3 kg", "one of the units um2"), ("length > 3 mm2", "one of the units um"),
        ("count > 3 mm", "lacks 'and'"),
        ("class > crack", "equal or not"), ("class =", "lacks the name of a class"), ("(area > 3", "closing bracket"),
        ("area > 3)", "lacks the end"), ("area > 3 area > 4", "one of the units"),
        ("area > 3 and", "lacks one of class"),
        ("__import__('os')", "cannot be read|lacks"), ("area > 3; area", "cannot be read from '; area'"),
        ("not count > 3", "not within brackets or after 'not'"), ("area > 1 and (count > 3 or area > 2)", "not within"),
        ("(" * 99 + "area > 1" + ")" * 99, "more than 50 brackets"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_in_words(rule, said):
    with pytest.raises(SpecError, match=said):
        parse_rule(rule)
    with pytest.raises(SpecError, match="rule"):
        InspectSpec.of(rule=rule)


def test_what_is_not_known_is_never_guessed():
    plain = [defect(side=None)]
    with pytest.raises(SpecError, match="--pixel-size"):
        parse_rule("area > 2 mm2").failed_by(plain)
    assert parse_rule("length > 2 px").failed_by(plain)
    with pytest.raises(SpecError, match="--average flips"):
        parse_rule("confidence < 0.5").failed_by(plain)
    assert parse_rule("confidence < 0.5").failed_by([defect(confidence=0.4)])


names = st.sampled_from(["area", "length", "count", "confidence"])
signs = st.sampled_from(["<", "<=", ">", ">=", "=", "!="])
comparisons = st.builds(lambda n, s, v: f"{n} {s} {v:g}", names, signs, st.integers(0, 9))
joined = st.lists(comparisons, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from([" and ".join(parts), " or ".join(parts)])
)


@given(joined)
def test_a_rule_that_is_written_again_is_the_same(text):
    rule = parse_rule(text)
    assert str(parse_rule(str(rule))) == str(rule)


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_an_error_in_words(text):
    with suppress(SpecError):
        assert str(parse_rule(text))
