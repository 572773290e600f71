"""What is known of the workers of a cluster, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from .preflight import size_words

__all__ = ["Workers"]


@dataclass(frozen=True)
class Workers:
    """Who is at work.

    Attributes
    ----------
    count, threads : int
        Workers, and their threads together.
    used, memory : int
        Bytes that they use, and that they may use; 0 where that is not limited.
    rate : float
        Bricks a second, of late; 0 where that is not known.
    dashboard : str
        Address of dask's own pages; empty if there are none.
    """

    count: int = 0
    threads: int = 0
    used: int = 0
    memory: int = 0
    rate: float = 0.0
    dashboard: str = ""

    @property
    def words(self) -> str:
        """One line for people; empty if nobody is there."""
        if not self.count:
            return ""
        parts = [f"{self.count} worker{'s' * (self.count != 1)}", f"{self.threads} thread{'s' * (self.threads != 1)}"]
        if self.memory:
            parts.append(f"{size_words(self.used)} of {size_words(self.memory)} memory")
        elif self.used:
            parts.append(f"{size_words(self.used)} memory")
        if self.rate:
            parts.append(f"{self.rate:.1f} bricks/s" if self.rate < 100 else f"{self.rate:.0f} bricks/s")
        return ", ".join(parts)
