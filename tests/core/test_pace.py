"""The time that is left, of all that is known to come."""

from __future__ import annotations

from itertools import chain

import pytest

from napari_unet.core.pace import Pace, in_words
from napari_unet.core.steps import Progress, Steps, finish, followed, stage


def job(count: int) -> Steps[str]:
    for done in range(count):
        yield Progress(done + 1, count)
    return "done"


def test_time_left_is_measured_after_the_first_steps() -> None:
    pace = Pace()
    pace.add(Progress(0, 10), 0.0)
    pace.add(Progress(1, 10), 30.0)  # half a minute of loading is not the pace
    pace.add(Progress(2, 10), 32.0)
    assert pace.left is None
    assert not pace.words
    pace.add(Progress(3, 10), 34.0)
    assert pace.left == pytest.approx(14)


def test_another_job_begins_anew() -> None:
    pace = Pace()
    for done in range(1, 5):
        pace.add(Progress(done, 4), float(done))
    assert pace.left == 0
    pace.add(Progress(1, 5), 10.0)
    assert pace.left is None


def test_stages_that_have_not_begun_count_as_long_as_those_that_have() -> None:
    pace, now = Pace(), 0.0
    left = []
    # Ten steps of a second, then twenty of two, then four of five: 10, 40 and 20 seconds.
    for number, (steps, seconds) in enumerate(((10, 1.0), (20, 2.0), (4, 5.0))):
        for progress in stage(job(steps), number, 3):
            now += seconds
            pace.add(progress, now)
            left.append(pace.left)
    assert left[4] == pytest.approx(5 + 2 * 10)
    assert left[9] == pytest.approx(2 * 10)
    assert left[10] == pytest.approx(2 * 10)  # the second stage, before its pace is known
    assert left[19] == pytest.approx(20 + (10 + 40) / 2)
    assert left[29] == pytest.approx((10 + 40) / 2)
    assert left[32] == pytest.approx(5)
    assert left[33] == 0


def test_stages_of_a_stage() -> None:
    def inner() -> Steps[None]:
        yield from stage(job(2), 0, 2)
        yield from stage(job(2), 1, 2)

    steps = chain(stage(inner(), 0, 2), stage(inner(), 1, 2))
    seen = [(step.done, step.total, step.part) for step in steps]
    assert [part for _, _, part in seen] == [(0, 4), (0, 4), (1, 4), (1, 4), (2, 4), (2, 4), (3, 4), (3, 4)]
    assert [done for done, _, _ in seen] == list(range(1, 9))
    assert {total for _, total, _ in seen} == {8}


def test_what_comes_then_is_said() -> None:
    pace, now = Pace(), 0.0
    for progress in followed(job(6), "measuring"):
        now += 2.0
        pace.add(progress, now)
        if progress.done == 4:
            assert pace.words == "about 4 s left, then measuring"
    assert finish(followed(job(1), "")) == "done"
    assert [step.then for step in followed(followed(job(1), "linking"), "writing")] == ["linking, then writing"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "about 1 s left"), (11.2, "about 12 s left"), (89, "about 89 s left"), (180, "about 3 min left")],
)
def test_words_for_a_time(seconds: float, text: str) -> None:
    assert in_words(seconds) == text
    assert in_words(2 * 3600) == "about 2 h left"
