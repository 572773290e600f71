"""How jobs are put together, and taken apart again where workers die; nobody works here."""

from __future__ import annotations

from typing import Any

import pytest
from distributed import KilledWorker

from napari_unet.cluster.chores import Chore
from napari_unet.cluster.hands import Hands
from napari_unet.cluster.orders import Order
from napari_unet.core.errors import ClusterError


@pytest.fixture
def hands() -> Hands:
    client: Any = None
    found = Hands(client, Chore())
    found._workers = {"a": 1, "b": 1}
    return found


def orders(*keys: str, verb: str = "score") -> list[Order]:
    return [Order(verb, (), key, lambda answer: answer) for key in keys]


def test_short_jobs_go_together_and_long_ones_alone(hands):
    assert hands._together("score") == 1  # nobody knows yet
    for seconds, expected in ((0.8, 1), (0.05, 5), (1e-9, 64)):
        hands._seconds["score"] = seconds
        assert hands._together("score") == expected
    hands._seconds["score"] = 0.8
    hands._workers = {str(n): 1 for n in range(1000)}  # a scheduler keeps up with 200 tasks a second
    assert hands._together("score") == 6


def test_what_is_learned_of_jobs_forgets_slowly(hands):
    hands._learn("score", 1.0)
    hands._learn("score", 0.0)
    assert hands._seconds == {"score": pytest.approx(0.8)}


def test_only_jobs_of_one_kind_go_together(hands):
    hands._seconds = {"score": 0.05, "explore": 0.05}
    hands._waiting.extend([*orders("1", "2"), *orders("3", verb="explore"), *orders("4")])
    assert [[order.key for order in hands._some()] for _ in range(3)] == [["1", "2"], ["3"], ["4"]]


def test_jobs_whose_worker_died_go_one_by_one_and_not_for_ever(hands):
    hands._seconds["score"] = 0.05
    error = KilledWorker("score", None, 3)
    hands._waiting.extend(orders("3", "4"))
    hands._again(orders("1", "2"), error)
    assert [[order.key for order in hands._some()] for _ in range(3)] == [["1"], ["2"], ["3", "4"]]
    for _ in range(4):
        hands._again(orders("1"), error)
    with pytest.raises(ClusterError, match=r"again and again over the same part \(score 1\)"):
        hands._again(orders("1"), error)
