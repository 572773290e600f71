"""Keys of the viewer that work while a dock is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Keys"]


class Keys:
    """Keys of the viewer that are given back when they are not needed any more.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they are pressed.
    actions : mapping of str to callable
        Key, as napari writes it, to what it does.
    """

    def __init__(self, viewer: Viewer, actions: Mapping[str, Callable[[], object]]) -> None:
        self._viewer, self._actions = viewer, actions
        self._before: dict[Any, Any] | None = None

    def take(self) -> None:
        """Let the keys work."""
        if self._before is not None:
            return
        self._before = dict(self._viewer.keymap)
        for key, action in self._actions.items():
            self._viewer.bind_key(key, _ignoring_viewer(action), overwrite=True)

    def give_back(self) -> None:
        """Let the keys do what they did before."""
        if self._before is not None:
            self._viewer.keymap.clear()
            self._viewer.keymap.update(self._before)
            self._before = None


def _ignoring_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def press(_viewer: Any) -> None:
        action()

    return press
