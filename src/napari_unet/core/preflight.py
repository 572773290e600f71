"""What a run will take, said before it begins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["LONG", "Preflight", "Room", "size_words", "time_words"]

LONG: Final = 60.0  # seconds from which on a run is announced
_TIGHT: Final = 1.3  # times what is needed, below which room is tight
_SHORT: Final = 0.7  # of what is estimated, below which room is surely too little
_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size_words(size: float) -> str:
    """Write a number of bytes for people: ``"1.2 GB"``."""
    for unit, name in _UNITS:
        if size >= 0.9995 * unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def time_words(seconds: float) -> str:
    """Write a duration for people: ``"3 h 20 min"``."""
    minutes = round(seconds / 60)
    if seconds < LONG:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


@dataclass(frozen=True)
class Room:
    """How much of something is needed, and how much there is.

    Attributes
    ----------
    needed : int
        Bytes, about.
    free : int or None
        Bytes; None where the system does not say.
    """

    needed: int
    free: int | None = None

    @property
    def short(self) -> bool:
        """Whether it is clearly too little, even if the estimate is too high."""
        return self.free is not None and self.free < _SHORT * self.needed

    @property
    def tight(self) -> bool:
        """Whether it may be too little."""
        return self.free is not None and self.free < _TIGHT * self.needed

    @property
    def words(self) -> str:
        """What is needed and what is free."""
        free = "" if self.free is None else f" ({size_words(self.free)} free)"
        return f"{size_words(self.needed)}{free}"


@dataclass(frozen=True)
class Preflight:
    """What a run will take. All of it is estimated from a few tiles of the image.

    Attributes
    ----------
    pixels : int
        Of the labels.
    tiles : int
        That the network will see.
    left : float
        Share of the work that is not done yet, by an unfinished run.
    seconds : float
        For what is left.
    speed : float
        Megapixels of the image a second.
    diameter : float
        Object size that is used, image pixels.
    device : str
        Where it is computed.
    memory : Room
        Of the computer, beyond what the program takes already.
    device_memory : Room or None
        Of the graphics card, where there is one.
    disk : Room or None
        Where the labels go: the finished labels and what the run needs besides, on the way; None if they go nowhere.
    labels : int
        Bytes of the finished labels.
    warnings : tuple of str
        What may go wrong, in words.
    sized : bool
        Whether the size of objects decides how large the network sees the image.
    """

    pixels: int
    tiles: int
    left: float
    seconds: float
    speed: float
    diameter: float
    device: str
    memory: Room
    device_memory: Room | None = None
    disk: Room | None = None
    labels: int = 0
    warnings: tuple[str, ...] = ()
    sized: bool = True

    @property
    def line(self) -> str:
        """All in one line."""
        return foretell(self.seconds, self.speed, self.disk)

    @property
    def rows(self) -> dict[str, str]:
        """What it takes, name by name."""
        rows = {"Pixels": f"{self.pixels:,} in {self.tiles:,} tiles"}
        if self.left < 1:
            rows["Done already"] = f"{1 - self.left:.0%}"
        if self.sized:
            rows["Object width"] = f"{self.diameter:.1f} pixels"
        rows["Device"] = self.device
        rows |= {"Time": f"about {time_words(self.seconds)} ({self.speed:.3g} Mpx/s)"}
        rows |= {"Memory": f"about {self.memory.words}"}
        if self.device_memory is not None:
            rows["Memory of the card"] = f"about {self.device_memory.words}"
        if self.disk is not None:
            rows |= {"Disk": f"about {self.disk.words}", "Labels": f"about {size_words(self.labels)}"}
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self) | {"warnings": list(self.warnings)}


def foretell(seconds: float, speed: float, disk: Room | None) -> str:
    """Say in a line what a run will take.

    Parameters
    ----------
    seconds : float
        For what is left.
    speed : float
        Megapixels of the image a second.
    disk : Room or None
        Where the labels go.

    Returns
    -------
    str
        A sentence.
    """
    room = "" if disk is None else f", and about {disk.words} of the disk"
    return f"All of it takes about {time_words(seconds)} ({speed:.3g} Mpx/s){room}."
