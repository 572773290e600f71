"""A journal that is written later: nobody waits for the disk, the order stays, and errors come out as they are."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from napari_unet.core.errors import OutputError
from napari_unet.io.behind import Behind
from napari_unet.io.journal import Journal


class Slow:
    """A journal in memory that writes when it is let, and notes what it did."""

    def __init__(self, error: Exception | None = None) -> None:
        self.entries: dict[tuple[str, str], dict[str, Any]] = {}
        self.done: list[tuple[str, str, str]] = []
        self.gate = threading.Event()
        self.error = error

    def has(self, kind: str, key: str) -> bool:
        return (kind, key) in self.entries

    def get(self, kind: str, key: str) -> dict[str, Any]:
        return self.entries[kind, key]

    def put(self, kind: str, key: str, **arrays: Any) -> None:
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.entries[kind, key] = {name: values.copy() for name, values in arrays.items()}
        self.done.append(("put", kind, key))

    def drop(self, kind: str, key: str) -> None:
        assert self.gate.wait(10)
        self.entries.pop((kind, key), None)
        self.done.append(("drop", kind, key))


def hand_in(behind: Behind, *what: Any) -> None:
    """Put arrays in, and raise errors."""
    with behind:
        for i, one in enumerate(what):
            if isinstance(one, BaseException):
                raise one
            behind.put("scores", "abc"[i], scores=one)


def test_what_waits_can_be_read_and_is_written_in_order() -> None:
    slow, values = Slow(), np.arange(5)
    with Behind(slow) as behind:
        behind.put("scores", "1", scores=values)
        behind.put("forest", "1", peaks=values + 1)
        assert behind.has("scores", "1")
        assert not slow.has("scores", "1")
        np.testing.assert_array_equal(behind.get("scores", "1")["scores"], values)
        with pytest.raises(ValueError, match="read-only"):
            behind.get("scores", "1")["scores"][0] = 7
        behind.drop("scores", "1")
        assert not behind.has("scores", "1")
        behind.drop("scores", "1")
        behind.put("scores", "1", scores=values + 2)
        np.testing.assert_array_equal(behind.get("scores", "1")["scores"], values + 2)
        slow.gate.set()
    done = [" ".join(how[:2]) for how in slow.done]
    assert done == ["put scores", "put forest", "drop scores", "drop scores", "put scores"]
    np.testing.assert_array_equal(slow.get("scores", "1")["scores"], values + 2)


def test_entries_outlive_the_context(tmp_path) -> None:
    with Journal(tmp_path / "run") as journal:
        with Behind(journal) as behind:
            for key in "abc":
                behind.put("scores", key, scores=np.arange(3))
            behind.drop("scores", "b")
        assert [journal.has("scores", key) for key in "abc"] == [True, False, True]
        with Behind(journal) as behind:
            assert behind.has("scores", "c")
            np.testing.assert_array_equal(behind.get("scores", "c")["scores"], np.arange(3))
            with pytest.raises(OutputError, match="missing or damaged"):
                behind.get("scores", "b")


def test_also_when_the_run_is_stopped(tmp_path) -> None:
    with Journal(tmp_path / "run") as journal:
        with pytest.raises(KeyboardInterrupt):
            hand_in(Behind(journal), np.arange(3), KeyboardInterrupt())
        assert journal.has("scores", "a")


def test_what_waits_is_bounded() -> None:
    slow, handed = Slow(), []

    def hand_in() -> None:
        for i in range(6):
            behind.put("scores", str(i), scores=np.zeros(40, np.uint8))
            handed.append(i)

    with Behind(slow, waiting=100) as behind:
        worker = threading.Thread(target=hand_in)
        worker.start()
        time.sleep(0.1)
        assert handed == [0, 1]
        slow.gate.set()
        worker.join(10)
        assert handed == [*range(6)]
        behind.put("scores", "large", scores=np.zeros(1000, np.uint8))
    assert len(slow.entries) == 7


def test_an_error_of_the_disk_comes_out_as_it_is() -> None:
    error = OutputError("the disk is full")
    slow = Slow(error)
    threading.Timer(0.05, slow.gate.set).start()
    with pytest.raises(OutputError) as caught:
        # The second waits for the first, the third is not reached.
        hand_in(Behind(slow, waiting=100), *[np.zeros(80, np.uint8)] * 2, RuntimeError("too late"))
    assert caught.value is error
    assert slow.done == []


def test_an_error_that_nobody_has_met_comes_at_the_end() -> None:
    error = OutputError("the disk is full")
    slow = Slow(error)
    threading.Timer(0.05, slow.gate.set).start()
    with pytest.raises(OutputError) as caught:
        hand_in(Behind(slow), np.zeros(80, np.uint8))
    assert caught.value is error


def test_another_error_is_not_hidden_by_that_of_the_disk() -> None:
    slow = Slow(OutputError("the disk is full"))
    threading.Timer(0.05, slow.gate.set).start()
    with pytest.raises(RuntimeError, match="out of memory"):
        hand_in(Behind(slow), np.zeros(80, np.uint8), RuntimeError("out of memory"))
