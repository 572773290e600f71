"""When a training reports: often enough to be watched, and never so often that it judges more than it learns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_unet.core.specs import TrainSpec
from napari_unet.training import pace as room
from napari_unet.training.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(room.time, "monotonic", lambda: now.seconds)
    return now


def shares(clock, minutes, takes, step_takes=1.0):
    """Train on paper; return how much of the time was spent on judging, and after how many seconds each report came."""
    run = SimpleNamespace(
        spec=TrainSpec(minutes=minutes, every=10**6), step=0, device="cpu",
        history=SimpleNamespace(seconds=0.0, rows=[], best=-1.0, worse=0),
        ranks=SimpleNamespace(agree=lambda values, device: values),
    )  # fmt: skip
    pace = Pace(run, SimpleNamespace(finished=False, stopped=False, paused=False))
    judged, at = 0.0, []
    while True:
        order = pace.order()
        if order.report:
            pace.reported()
            at.append(clock.seconds)
            with pace.judging():
                clock.seconds += takes
            judged += takes
        if order.end:
            return judged / clock.seconds, at
        clock.seconds += step_takes
        run.step += 1


def test_quick_reports_come_forty_times(clock):
    share, at = shares(clock, 20.0, 0.5)
    assert 36 <= len(at) <= 41
    assert share < 0.02


def test_large_images_are_judged_a_tenth_of_the_time(clock):
    share, at = shares(clock, 8.0, 13.0)
    assert 0.05 < share < 0.15  # it was 0.93
    assert len(at) >= 3


def test_what_takes_a_minute_to_judge_is_judged_twice_in_five(clock):
    share, at = shares(clock, 5.0, 60.0)
    assert len(at) == 2  # one to be seen, and the last
    assert share < 0.4
