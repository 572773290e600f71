"""The commands about models, and the verbs behind them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from napari_unet import workflows
from napari_unet.core.errors import ModelError, OutputError

from . import commands

run, good, bad = (partial(give, "models") for give in (commands.run, commands.good, commands.bad))


@pytest.fixture
def here(tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where the user's own models are the one made by hand, and a damaged one."""
    home = tmp_path / "home"
    shutil.copytree(bright, home / "bright")
    (home / "broken").mkdir()
    (home / "broken" / "card.json").write_text("{}")
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(home))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def names() -> list[str]:
    return [card["name"] for card in json.loads(good("list", "--json"))]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def test_list_and_show_in_their_old_and_new_forms(here: Path) -> None:
    assert "bright" in good()
    assert good() == good("list")
    assert good("--json") == good("list", "--json")
    assert good("bright") == good("show", "bright")
    for words in (("bright", "--json"), ("--json", "bright"), ("show", "bright", "--json")):
        assert json.loads(good(*words))["name"] == "bright"
    text = good("show", "bright")
    for word in ("sha256", "size on disk", str(here / "home" / "bright")):
        assert word in text
    assert "None" not in text
    assert "remove" in good("--help")


def test_damaged_models_are_told_and_break_no_script(here: Path) -> None:
    for words in ((), ("--json",)):
        done = run(*words)
        assert done.exit_code == 0
        assert "'broken' is damaged" in done.stderr
        assert "broken" not in done.stdout
    assert "broken" in dict(workflows.list_damaged())
    good("remove", "broken", "--yes")
    assert "broken" not in run().stderr


def test_the_words_of_a_card_do_nothing_to_the_terminal(here: Path) -> None:
    file = here / "home" / "bright" / "card.json"
    card = json.loads(file.read_text())
    file.write_text(json.dumps(card | {"title": "\x1b[31mred\x1b]0;title\x07", "description": "a\x9b31mb"}))
    (here / "home" / "broken" / "card.json").write_text(json.dumps({"\x1b]0;title\x07": 1}))
    for words in ((), ("bright",)):
        done = run(*words)
        assert "red" in done.stdout
        assert not {"\x1b", "\x07", "\x9b"} & {*done.stdout, *done.stderr}


def test_there_and_back(here: Path) -> None:
    assert "out.zip" in good("export", "bright", "out.zip")
    added = json.loads(good("add", "out.zip", "--name", "copy", "--json"))
    assert (added["name"], added["folder"]) == ("copy", str(here / "home" / "copy"))
    assert added["sha256"] == json.loads(good("bright", "--json"))["sha256"]
    assert "copy" in names()
    good("export", "copy", "as-folder")
    assert "--model again" in good("add", "as-folder", "--name", "again")
    good("remove", "copy", "--yes")
    assert not {"copy"} & set(names())
    assert {"again", "bright"} <= set(names())


@pytest.mark.parametrize(("task", "verb"), [("motion", "track LABELS.tif --image"), ("cell", "segment IMAGE --output")])
def test_how_a_model_is_used_is_said(here: Path, task: str, verb: str) -> None:
    """A model that foretells motion finds no objects."""
    card = here / "home" / "bright" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"task": task}))
    good("export", "bright", "one.zip")
    assert f"napari-unet {verb}" in good("add", "one.zip", "--name", "one")


@pytest.mark.parametrize(("answer", "kept"), [("n\n", True), ("", True), ("y\n", False)])
def test_removing_asks(here: Path, answer: str, kept: bool) -> None:
    done = run("remove", "bright", answer=answer)
    assert done.exit_code == (130 if kept else 0)
    assert ("bright" in names()) == kept
    assert "Delete the model 'bright'" in done.stderr
    assert ("--yes" in done.stderr) == kept


def test_the_ending_says_what_to_write(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_unet.models import exchange

    asked: list[tuple[Any, ...]] = []

    def write(name: str, file: Path, format: str, overwrite: bool = False) -> Path:
        asked.append((name, file, format, overwrite))
        return file

    monkeypatch.setattr(exchange, "export_model", write)
    for file in ("a.zip", "a.onnx", "a.PT", "a"):
        good("export", "bright", file)
    good("export", "bright", "a.zip", "--format", "bioimageio", "--overwrite")
    assert [(str(file), form, over) for _, file, form, over in asked] == [
        ("a.zip", "zip", False), ("a.onnx", "onnx", False), ("a.PT", "torchscript", False), ("a", "folder", False),
        ("a.zip", "bioimageio", True),
    ]  # fmt: skip
    assert set(workflows.FORMATS) == set(exchange.FORMATS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "At hand"),
        (["lst"], "'lst'"),
        (["broken"], "card"),
        (["add", "none.zip"], "none.zip"),
        (["add", "notes.txt"], "notes.txt"),
        (["remove", "none", "--yes"], "none"),
        (["remove", "nuclei", "--yes"], "belongs to the program"),
        (["remove", "nuclei"], "belongs to the program"),
        (["remove", "/", "--yes"], "not a model"),
        (["export", "none", "a.zip"], "none"),
        (["export", "broken", "a.zip"], "card"),
        (["export", "bright", "a.jpg"], "one of zip, folder"),
        (["export", "bright", "a.zip", "--format", "keras"], "keras"),
        (["export", "bright", "notes.txt", "--format", "zip"], "exists"),
        (["export", "bright", "none/a.zip"], "none"),
        (["export", "bright"], "file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_words(here: Path, words: list[str], said: str) -> None:
    Path("notes.txt").write_text("cells")
    assert said.lower() in bad(*words).lower()
    assert left(Path()) == ["notes.txt"]
    assert left(here / "home") == ["bright", "broken"]


def test_a_name_that_is_taken(here: Path) -> None:
    good("export", "bright", "a.zip")
    assert "bright" in bad("add", "a.zip")
    good("add", "a.zip", "--overwrite")
    assert "exists" in bad("export", "bright", "a.zip")
    good("export", "bright", "a.zip", "--overwrite")


@pytest.mark.parametrize("file", ["a.zip", "folder"])
def test_who_stops_leaves_nothing(here: Path, file: str) -> None:
    for stop in (1, 2):
        steps = workflows.export_model_steps("bright", file)
        for _ in range(stop):
            next(steps)
        steps.close()
        assert left(Path()) == []
    done = workflows.export_model("bright", file)
    for stop in (1, 2):
        adding = workflows.add_model_steps(done, "stopped")
        for _ in range(stop):
            next(adding)
        adding.close()
        assert left(here / "home") == ["bright", "broken"]
    # What was there before is never taken away.
    steps = workflows.export_model_steps("bright", file, overwrite=True)
    next(steps), next(steps)
    steps.close()
    assert left(Path()) == [file]


def test_places(here: Path) -> None:
    place = workflows.locate_model("bright")
    assert (place.folder, place.bundled) == (here / "home" / "bright", False)
    assert place.size == sum(file.stat().st_size for file in place.folder.iterdir())
    assert workflows.locate_model("nuclei").bundled
    assert workflows.locate_model("broken").size == 2
    assert [replace(place, size=size).size_text for size in (0, 1, 38_400, 1_460_392)] == [
        "0 kB", "1 kB", "39 kB", "1.5 MB"
    ]  # fmt: skip
    with pytest.raises(ModelError):
        workflows.locate_model("/")
    with pytest.raises(OutputError, match="exists"):
        workflows.export_model("bright", here / "work", "folder")
