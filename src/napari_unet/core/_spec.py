"""The base of everything a person writes: frozen, and checked at the door."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import SpecError

__all__ = ["Spec"]

_SHOULD: Final = "Input "
_LONGEST: Final = 80  # characters of a value that are said


class Spec(BaseModel):
    """Frozen parameters; an unknown name is an error, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Build the spec and report bad values in words.

        Parameters
        ----------
        **values : Any
            Fields of the spec.

        Returns
        -------
        Spec
            The checked spec.

        Raises
        ------
        SpecError
            If a value is out of range or a name is unknown.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            found = error.errors()
            lines = [_words(cls, each["type"], each["loc"], each["msg"], each["input"]) for each in found]
            raise SpecError("These settings cannot be used:\n  " + "\n  ".join(lines)) from error


def _words(spec: type[Spec], kind: str, place: tuple[int | str, ...], said: str, given: Any) -> str:
    """Say what is wrong with a setting; of one that there is not, which there are."""
    where = ".".join(map(str, place)) or spec.__name__
    if said.startswith(_SHOULD) and isinstance(given, str | int | float):
        return f"{where}: it {said.removeprefix(_SHOULD)}, and is {repr(given)[:_LONGEST]}"
    if kind != "extra_forbidden":
        return f"{where}: {said.removeprefix('Value error, ')}"
    if len(place) > 1:
        return f"{where}: there is no such setting"
    near = get_close_matches(where, spec.model_fields, 1)
    meant = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(spec.model_fields)}"
    return f"{where}: there is no such setting; {meant}"
