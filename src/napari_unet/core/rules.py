"""Rules that say when an inspected image fails: ``area > 2 mm2 or class = crack and count > 3``.

A rule is a comparison, or several with ``and``, ``or``, ``not`` and brackets. It is read by this grammar and nothing
else; nothing of it is executed::

    rule       := both ("or" both)*
    both       := part ("and" part)*
    part       := "not" part | "(" rule ")" | comparison
    comparison := word ("<" | "<=" | ">" | ">=" | "=" | "!=") value [unit]
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .defects import Defect
from .errors import SpecError

__all__ = ["Rule", "parse_rule"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<quoted>'[^']*'|\"[^\"]*\")|(?P<op><=|>=|!=|==|=|<|>)|(?P<bracket>[()])"
    r"|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<word>[^\W\d][\w²%-]*))"
)
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip
_MILLIMETERS: Final = {"um": 1e-3, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0}
_MEASURES: Final = ("area", "confidence", "length")
_DEEPEST: Final = 50
_SAME: Final = 1e-9
_EXAMPLE: Final = "An example: area > 2 mm2 or class = crack and count > 3."


@dataclass(frozen=True)
class _Compare:
    """One comparison of one defect, or of how many there are."""

    name: str
    sign: str
    value: float | str
    unit: str = ""

    def holds(self, defect: Defect) -> bool:
        if self.name == "class":
            return bool(_OPERATORS[self.sign](defect.kind.casefold(), str(self.value).casefold()))
        found = getattr(defect, self.name if self.unit in ("", "px") else f"{self.name}_{_suffix(self.name)}")
        if found is None:
            raise SpecError(self._unknown())
        # Sums of pixels that are the limit miss it by the last digits of a number: 3 of 0.1 mm are 0.30000000000000004.
        equal = math.isclose(found, self.limit, rel_tol=_SAME)
        return bool(_OPERATORS[self.sign](self.limit if equal else found, self.limit))

    @property
    def limit(self) -> float:
        """The number that is compared with, in pixels or millimeters."""
        side = _MILLIMETERS.get(self.unit.rstrip("2²"), 1.0)
        return float(self.value) * (side**2 if self.name == "area" else side)

    def _unknown(self) -> str:
        if self.name == "confidence":
            return (
                "The rule asks for the confidence, which is known where answers are averaged only: add --average "
                "flips, or leave it out of the rule."
            )
        return (
            f"The rule asks for the {self.name} in {self.unit}, but the image does not say how large a pixel is. Say "
            "so (--pixel-size 0.05, in mm), or give the number without a unit: pixels."
        )

    def __str__(self) -> str:
        value = f"{self.value:g}" if isinstance(self.value, float) else self.value
        return f"{self.name} {self.sign} {value} {self.unit}".rstrip()


@dataclass(frozen=True)
class _Not:
    part: _Part

    def holds(self, defect: Defect) -> bool:
        return not self.part.holds(defect)

    def __str__(self) -> str:
        return f"not {_bracketed(self.part)}"


@dataclass(frozen=True)
class _All:
    parts: tuple[_Part, ...]

    def holds(self, defect: Defect) -> bool:
        return all(part.holds(defect) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.parts))


@dataclass(frozen=True)
class _Any:
    parts: tuple[_Part, ...]

    def holds(self, defect: Defect) -> bool:
        return any(part.holds(defect) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


_Part = _Compare | _Not | _All | _Any


@dataclass(frozen=True)
class Rule:
    """When an image fails.

    Attributes
    ----------
    ways : tuple
        The image fails if it fails in one of these: a condition on defects, and conditions on how many there are that
        meet it.
    """

    ways: tuple[tuple[_All, tuple[_Compare, ...]], ...]

    def failed_by(self, defects: Sequence[Defect]) -> str:
        """Return the part of the rule by which an image fails.

        Parameters
        ----------
        defects : sequence of Defect
            All of the image.

        Returns
        -------
        str
            Empty if it passes.

        Raises
        ------
        SpecError
            If the rule asks for what is not known of the image: millimeters, or a confidence.
        """
        for condition, counts in self.ways:
            met = sum(condition.holds(defect) for defect in defects)
            if all(_OPERATORS[one.sign](met, one.value) for one in counts) if counts else met:
                return " and ".join(map(str, (*condition.parts, *counts)))
        return ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it names, as they are written."""
        return tuple(dict.fromkeys(name for condition, _ in self.ways for name in _classes(condition)))

    def __str__(self) -> str:
        """Return the rule as it may be written."""
        return " or ".join(" and ".join(map(_bracketed, (*each.parts, *counts))) for each, counts in self.ways)


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Parameters
    ----------
    text : str
        Comparisons of ``class``, ``area``, ``length``, ``confidence`` of a defect, and of ``count``: how many defects
        meet the other conditions that it stands beside with ``and``. An area or length without a unit is in pixels;
        units are ``um``, ``mm``, ``cm``, ``m`` and their squares.

    Returns
    -------
    Rule
        Ready to be asked.

    Raises
    ------
    SpecError
        If it cannot be understood; the message says where.
    """
    words = list(_tokens(text))
    if not words:
        raise SpecError(f"The rule is empty. {_EXAMPLE}")
    reader = _Reader(text, words)
    part = reader.either(0)
    if reader.left:
        raise reader.error("the end, 'and' or 'or'")
    return Rule(tuple(_way(one) for one in (part.parts if isinstance(part, _Any) else (part,))))


def _way(part: _Part) -> tuple[_All, tuple[_Compare, ...]]:
    """Part what is said of defects from what is said of their number."""
    parts = part.parts if isinstance(part, _All) else (part,)
    counts = tuple(one for one in parts if isinstance(one, _Compare) and one.name == "count")
    others = tuple(one for one in parts if one not in counts)
    if any(map(_counts, others)):
        raise SpecError(
            "A 'count' stands beside other conditions with 'and', or alone; not within brackets or after 'not'. "
            f"{_EXAMPLE}"
        )
    return _All(others), counts


def _classes(part: _Part) -> Iterator[str]:
    if isinstance(part, _Compare):
        yield from [str(part.value)] * (part.name == "class")
        return
    for one in (part.part,) if isinstance(part, _Not) else part.parts:
        yield from _classes(one)


def _counts(part: _Part) -> bool:
    if isinstance(part, _Compare):
        return part.name == "count"
    return any(map(_counts, (part.part,) if isinstance(part, _Not) else part.parts))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise SpecError(f"The rule '{text}' cannot be read from '{text[at:].strip()}' on. {_EXAMPLE}")
        kind = str(found.lastgroup)
        yield kind, found[kind], found.start(kind)
        at = found.end()


class _Reader:
    """Reads a rule from left to right."""

    def __init__(self, text: str, words: list[tuple[str, str, int]]) -> None:
        self._text, self._words, self._at = text, words, 0

    @property
    def left(self) -> bool:
        return self._at < len(self._words)

    def error(self, expected: str) -> SpecError:
        where = f"before '{self._text[self._words[self._at][2] :]}'" if self.left else "at its end"
        return SpecError(f"The rule '{self._text}' lacks {expected} {where}. {_EXAMPLE}")

    def either(self, depth: int) -> _Part:
        parts = [self._both(depth)]
        while self._takes("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _both(self, depth: int) -> _Part:
        parts = [self._part(depth)]
        while self._takes("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _part(self, depth: int) -> _Part:
        if depth > _DEEPEST:
            raise SpecError(f"The rule has more than {_DEEPEST} brackets within each other. Write it more simply.")
        if self._takes("not"):
            return _Not(self._part(depth + 1))
        if self._takes("("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise self.error("a closing bracket")
            return inner
        return self._comparison()

    def _comparison(self) -> _Compare:
        name = self._next("word", f"one of class, count, {', '.join(_MEASURES)}").casefold()
        if name not in ("class", "count", *_MEASURES):
            self._at -= 1
            raise self.error(f"one of class, count, {', '.join(_MEASURES)}")
        sign = self._next("op", "a comparison such as > or =")
        if name == "class":
            if sign not in ("=", "==", "!="):
                raise SpecError(f"Classes are equal or not: write class = crack, not class {sign} crack.")
            return _Compare(name, sign, self._class())
        value = float(self._next("number", "a number"))
        return _Compare(name, sign, value, self._unit(name))

    def _class(self) -> str:
        kind, word, _ = self._words[self._at] if self.left else ("", "", 0)
        if kind not in ("word", "quoted", "number"):
            raise self.error("the name of a class")
        self._at += 1
        return word[1:-1] if kind == "quoted" else word

    def _unit(self, name: str) -> str:
        kind, word, _ = self._words[self._at] if self.left else ("", "", 0)
        if kind != "word" or word.casefold() in ("and", "or", "not"):
            return ""
        square = name == "area"
        known = [*(f"{unit}2" if square else unit for unit in _MILLIMETERS), "px"] if name in ("area", "length") else []
        word = word.replace("²", "2").replace("μ", "µ")  # two signs that look alike
        if word not in known:
            raise self.error(f"one of the units {', '.join(known)}" if known else "'and', 'or' or the end")
        self._at += 1
        return word

    def _next(self, wanted: str, expected: str) -> str:
        if not self.left or self._words[self._at][0] != wanted:
            raise self.error(expected)
        self._at += 1
        return self._words[self._at - 1][1]

    def _takes(self, word: str) -> bool:
        kind, found, _ = self._words[self._at] if self.left else ("", "", 0)
        taken = kind in ("word", "bracket") and found.casefold() == word
        self._at += taken
        return taken


def _suffix(name: str) -> str:
    return "mm2" if name == "area" else "mm"


def _bracketed(part: _Part) -> str:
    return f"({part})" if isinstance(part, _Any | _All) else str(part)
