"""Cards written by earlier versions, or by hand: what a field was called before, and what a value was.

Cards are on people's disks for years, so a name that was ever written to one is never forgotten: whoever renames a
field or a value adds a line here. Names of files in the registries (architectures, targets) have a table of their own,
in :mod:`napari_unet.core.registry`.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FIELDS", "VALUES", "renewed"]

# Where the field was -> what it is called now, at the same place.
FIELDS: Final[dict[tuple[str, ...], str]] = {
    ("licence",): "license",
    ("normalise",): "normalize",
    ("training", "settings", "licence"): "license",
}
# (Where the field is now, its old value) -> its new value.
VALUES: Final[dict[tuple[tuple[str, ...], Any], Any]] = {}


def renewed(card: Any, at: tuple[str, ...] = ()) -> Any:
    """Return what a card holds with the names of today; what is not known is left for the card's own check."""
    if not isinstance(card, dict):
        return VALUES.get((at, card), card) if isinstance(card, str | int | float | bool) else card
    new = {FIELDS.get((*at, str(name)), str(name)): value for name, value in card.items()}
    return {name: renewed(value, (*at, name)) for name, value in new.items()}
