"""What each correction changes in the graph, and when it is refused. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from napari_unet.core.errors import EditError

from ._graph import Change, Graph, say

__all__ = ["CORRECTIONS"]


def _link(graph: Graph, parent: int, child: int) -> list[Change]:
    """Both let go of whom they were linked with in between."""
    _check_order(graph, parent, child)
    if graph.after(parent) == [child] and graph.before(child) == [parent]:
        raise EditError(f"{_say(graph, parent)} and {_say(graph, child)} are linked already.")
    return [*_freed(graph, [parent], [child]), ("join", parent, child)]


def _unlink(graph: Graph, parent: int, child: int) -> list[Change]:
    _check_linked(graph, parent, child)
    return [("cut", parent, child)]


def _swap(graph: Graph, one: int, other: int) -> list[Change]:
    """From here on, each continues the track of the other."""
    of_one, of_other = graph.before(one), graph.before(other)
    if one == other or of_one == of_other:
        raise EditError(
            f"{_say(graph, one)} and {_say(graph, other)} come from the same cell, or from none: nothing to swap."
        )
    new = [(parent, one) for parent in of_other] + [(parent, other) for parent in of_one]
    for parent, child in new:
        if graph.frames[parent] >= graph.frames[child]:
            raise EditError(
                f"After the swap {_say(graph, child)} would come before its parent {_say(graph, parent)}. "
                "Choose cells of one frame."
            )
    return [*_freed(graph, [], [one, other]), *(("join", parent, child) for parent, child in new)]


def _split(graph: Graph, cell: int) -> list[Change]:
    """With this cell a new track begins."""
    cuts = _freed(graph, [], [cell])
    if not cuts:
        raise EditError(f"A track begins with {_say(graph, cell)} already. Choose a cell in the middle of a track.")
    return cuts


def _merge(graph: Graph, one: int, other: int) -> list[Change]:
    """Let the track that ends first go on with the other."""
    if graph.first(one) == graph.first(other):
        raise EditError(f"{_say(graph, one)} and {_say(graph, other)} are of one track already.")
    if graph.frames[graph.last(one)] >= graph.frames[graph.first(other)]:
        one, other = other, one
    end, start = graph.last(one), graph.first(other)
    if graph.frames[end] >= graph.frames[start]:
        raise EditError(
            f"Both tracks are there in frame {int(graph.frames[start])}: they cannot be one cell. "
            "Split one of them first, or swap them."
        )
    if graph.after(end):
        raise EditError(f"The first track divides after {_say(graph, end)}. Cut its daughters off first.")
    return [*_freed(graph, [], [start]), ("join", end, start)]


def _delete(graph: Graph, cell: int) -> list[Change]:
    """Close a track that goes on after the cell over the gap."""
    before, after = graph.before(cell), graph.after(cell)
    changes: list[Change] = [*_freed(graph, [cell], [cell]), ("hide", cell, cell)]
    if len(before) == len(after) == 1 and after[0] not in graph.after(before[0]):
        changes.append(("join", before[0], after[0]))
    return changes


def _divide(graph: Graph, mother: int, one: int, other: int) -> list[Change]:
    _check_order(graph, mother, one)
    _check_order(graph, mother, other)
    if one == other:
        raise EditError("A division has two different daughters. Choose the mother, then each of the daughters.")
    if set(graph.after(mother)) == {one, other} and graph.before(one) == graph.before(other) == [mother]:
        raise EditError(f"{_say(graph, mother)} divides into these two already.")
    return [*_freed(graph, [mother], [one, other]), ("join", mother, one), ("join", mother, other)]


def _fuse(graph: Graph, one: int, other: int, child: int) -> list[Change]:
    _check_order(graph, one, child)
    _check_order(graph, other, child)
    if one == other or set(graph.before(child)) == {one, other}:
        raise EditError("Two different cells become one, which are not linked so yet.")
    return [*_freed(graph, [one, other], [child]), ("join", one, child), ("join", other, child)]


def _confirm(graph: Graph, parent: int, child: int) -> list[Change]:
    _check_linked(graph, parent, child)
    return [("fix", parent, child)]


# By name: how many cells it takes, and what it changes. The cells of a link stand in the order of time.
CORRECTIONS: Final[dict[str, tuple[int, Callable[..., list[Change]]]]] = {
    "link": (2, _link),
    "unlink": (2, _unlink),
    "swap": (2, _swap),
    "split": (1, _split),
    "merge": (2, _merge),
    "delete": (1, _delete),
    "divide": (3, _divide),
    "fuse": (3, _fuse),
    "confirm": (2, _confirm),
}


def _freed(graph: Graph, parents: list[int], children: list[int]) -> list[Change]:
    """Cut what comes after `parents` and before `children`, each link once."""
    cuts = [(row, child) for row in parents for child in graph.after(row)]
    cuts += [(parent, row) for row in children for parent in graph.before(row)]
    return [("cut", parent, child) for parent, child in dict.fromkeys(cuts)]


def _check_order(graph: Graph, parent: int, child: int) -> None:
    if graph.frames[parent] >= graph.frames[child]:
        raise EditError(
            f"{_say(graph, child)} is not later than {_say(graph, parent)}. A link leads from one frame to a later one."
        )


def _check_linked(graph: Graph, parent: int, child: int) -> None:
    if child not in graph.after(parent):
        raise EditError(f"{_say(graph, parent)} and {_say(graph, child)} are not linked.")


def _say(graph: Graph, row: int) -> str:
    return say(graph.cell(row))
