"""A spec *instance* becomes a form, and the form a spec.

The instance matters: a pydantic class shown by magicgui loses its defaults. Tuples, settings that may be left open and
fractions (a spin box rounds them) are lines of text, which pydantic reads back.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Union, get_args, get_origin

from magicgui.widgets import CheckBox, ComboBox, LineEdit, SpinBox, bases
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_unet.core.specs import Spec

__all__ = ["Form", "explain"]

_LARGEST: Final = 2**31 - 1
_NARROW: Final = 80  # pixels of a field: a dock has no room for all digits of the largest number


class Form:
    """A form for the fields of a spec.

    Parameters
    ----------
    spec : Spec
        Gives the fields and the values shown first; a spec inside it is shown in place.
    labels : mapping of str to str
        Words for the user; a field without one shows its name. A field of an inner spec is ``"inner.field"``.
    choices : mapping of str to sequence of str
        Fields that are chosen from a list.
    hints : mapping of str to str
        What an empty line of text stands for, shown in gray.
    skip : sequence of str
        Fields that are shown elsewhere.
    free : sequence of str
        Fields that are lines of text, empty at first: the form says nothing of them until something is written.
    """

    def __init__(
        self,
        spec: Spec,
        labels: Mapping[str, str] | None = None,
        choices: Mapping[str, Sequence[str]] | None = None,
        hints: Mapping[str, str] | None = None,
        skip: Sequence[str] = (),
        free: Sequence[str] = (),
    ) -> None:
        self._spec = type(spec)
        self._choices, self._hints, self._free = choices or {}, hints or {}, frozenset(free)
        self._tuples: set[str] = set()
        self._empty: dict[str, Any] = {}
        self.fields: dict[str, bases.ValueWidget[Any]] = {}
        self._add(spec, "", labels or {}, skip)
        # A container of magicgui does not align its labels while it is folded away.
        self.native = QWidget()
        self.rows = QFormLayout(self.native)
        self.rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.rows.setContentsMargins(10, 0, 0, 0)
        for widget in self.fields.values():
            widget.native.setMinimumWidth(_NARROW)
            self.rows.addRow(widget.label, widget.native)

    def _add(self, spec: Spec, prefix: str, labels: Mapping[str, str], skip: Sequence[str]) -> None:
        help_ = explain(type(spec))
        for name, info in type(spec).model_fields.items():
            key, value = prefix + name, getattr(spec, name)
            if key in skip:
                continue
            if isinstance(value, Spec):
                self._add(value, f"{key}.", labels, skip)
                continue
            widget = LineEdit() if key in self._free else _widget(value, info.annotation, self._choices.get(key))
            self._add_hint(widget, self._hints.get(key, ""))
            if _is_tuple(info.annotation):
                self._tuples.add(key)
            self._empty[key] = _empty(info.annotation)
            widget.name, widget.label = key, labels.get(key, name.replace("_", " ").capitalize())
            widget.tooltip = help_.get(name, "")
            self.fields[key] = widget

    @staticmethod
    def _add_hint(widget: bases.ValueWidget[Any], text: str) -> None:
        if isinstance(widget, LineEdit):
            widget.native.setPlaceholderText(text)

    def hint(self, key: str, text: str) -> None:
        """Say in gray what an empty line of text stands for."""
        self._add_hint(self.fields[key], text)

    def show(self, spec: Spec) -> None:
        """Show the values of another spec of the same type; free fields become empty."""
        for key, widget in self.fields.items():
            value: Any = spec
            for name in key.split("."):
                value = getattr(value, name)
            value = None if key in self._free else value
            with widget.changed.blocked():
                widget.value = _text(value) if isinstance(widget, LineEdit) else value

    def values(self) -> dict[str, Any]:
        """Return what the form shows, nested like the spec; empty text stands for None where that is allowed."""
        found: dict[str, Any] = {}
        for key, widget in self.fields.items():
            value = widget.value
            if isinstance(widget, LineEdit):
                text = str(value).strip()
                value = tuple(filter(None, re.split(r"[\s,;]+", text))) if key in self._tuples else text
                if not value and key in self._free:
                    continue
                value = value or self._empty[key]
            inner = found
            *path, name = key.split(".")
            for step in path:
                inner = inner.setdefault(step, {})
            inner[name] = value
        return found

    def spec(self, **more: Any) -> Spec:
        """Read the form.

        Parameters
        ----------
        **more : Any
            Values of the fields that are shown elsewhere.

        Returns
        -------
        Spec
            Of the type the form was made from.

        Raises
        ------
        SpecError
            If a value cannot be used; the text names it.
        """
        return self._spec.of(**self.values(), **more)


def _widget(value: Any, annotation: Any, choices: Sequence[str] | None) -> bases.ValueWidget[Any]:
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
    if choices:
        return ComboBox(value=value, choices=list(choices))
    if get_origin(annotation) in (Union, types.UnionType) or isinstance(value, (tuple, str, float)):
        return LineEdit(value=_text(value))
    if isinstance(value, bool):
        return CheckBox(value=value)
    # The range is checked by the spec itself, which says what is wrong in words.
    return SpinBox(value=value, min=0, max=_LARGEST)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def _empty(annotation: Any) -> str | tuple[()] | None:
    """Return what an empty line stands for."""
    if annotation is str:
        return ""
    return () if get_origin(annotation) is tuple else None


def _is_tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(get_origin(option) is tuple for option in get_args(annotation))


def explain(spec: type[Spec]) -> dict[str, str]:
    """Read the explanation of every field from the docstring of a spec.

    Parameters
    ----------
    spec : type of Spec
        Its docstring has a numpydoc section ``Attributes``.

    Returns
    -------
    dict of str to str
        Field to its text.
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.getdoc(spec).partition("Attributes\n")[2].splitlines()[1:]:  # type: ignore[union-attr]
        if line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        else:
            names = [n.strip() for n in line.partition(":")[0].split(",")]
    return found
