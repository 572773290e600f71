"""A folder is a registry."""

from __future__ import annotations

import pytest

from napari_unet.core import registry
from napari_unet.core.errors import RegistryError


def test_private_files_are_no_entries():
    assert "unet" in registry.names("nets")
    assert not [name for name in registry.names("nets") if name.startswith("_")]
    assert registry.names("tasks", ".toml") == sorted(registry.names("tasks", ".toml"))


def test_an_entry_is_its_module():
    assert registry.load("targets", "distance").__name__ == "napari_unet.targets.distance"
    assert registry.path("tasks", "cell", ".toml").is_file()


def test_old_names_keep_working(monkeypatch):
    monkeypatch.setitem(registry.ALIASES, ("targets", "far"), "distance")
    monkeypatch.setitem(registry.ALIASES, ("tasks", "nucleus"), "cell")
    assert registry.load("targets", "far") is registry.load("targets", "distance")
    assert registry.path("tasks", "nucleus", ".toml") == registry.path("tasks", "cell", ".toml")
    with pytest.raises(RegistryError):
        registry.load("nets", "far")


def test_every_alias_leads_to_an_entry():
    for (room, _), name in registry.ALIASES.items():
        assert name in registry.names(room) + registry.names(room, ".toml")


@pytest.mark.parametrize("name", ["vnet", "_blocks", "__init__", "", "../core/axes"])
def test_unknown_names_list_the_known(name):
    with pytest.raises(RegistryError, match=r"Choose one of: .*unet"):
        registry.load("nets", name)


def test_unknown_rooms():
    with pytest.raises(RegistryError, match="'cellar'"):
        registry.names("cellar")
