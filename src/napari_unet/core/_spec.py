"""The base of everything a person writes: frozen, and checked at the door."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import SpecError

__all__ = ["Spec"]


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
            lines = [
                f"{'.'.join(map(str, e['loc'])) or cls.__name__}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            ]
            raise SpecError("These settings cannot be used:\n  " + "\n  ".join(lines)) from error
