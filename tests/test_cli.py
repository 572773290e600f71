"""The command line: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet import cli, workflows
from napari_unet._terminal import tell, watch
from napari_unet.cli import commands, training
from napari_unet.core.axes import Image
from napari_unet.core.errors import MissingExtraError
from napari_unet.core.results import label_hash
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import Progress, finish, stage
from napari_unet.widgets._settings import as_command

from . import forked
from .commands import bad, good, run

FACTS = {
    "image": str, "output": str, "table": str | None, "objects": int, "diameter": float, "seconds": float,
    "megapixels_per_second": float, "device": str, "precision": str, "model": str, "sha256": str, "labels_hash": str,
    "not_a_number": int, "unreadable": list, "sized": bool, "classes": list, "shares": dict,
}  # fmt: skip


@pytest.fixture
def here(tmp_path, disks, bright, monkeypatch):
    """A folder with an image, where the user's own models are the one made by hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    tifffile.imwrite(tmp_path / "cells.tif", disks[0])
    return tmp_path


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("code_page", ["cp1252", "cp437"])
def test_letters_that_a_code_page_does_not_know_end_no_command(code_page, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, code_page, write_through=True))
    monkeypatch.setattr(commands, "app", lambda prog_name: tell({"Labels": "日本.tif"}))
    commands.main()
    assert rb"\u65e5\u672c.tif" in written.getvalue()


# Help


@pytest.mark.parametrize(
    "words", [[], *[[w] for w in ("segment", "train", "evaluate", "measure", "models", "info", "demo")]], ids=str
)
def test_help_is_there_for_all(words):
    text = good(*words, "--help")
    assert "Usage: napari-unet" in text
    assert (
        words in ([], ["info"]) or "napari-unet " + words[0] + " " in text.split("--help")[-1] or words[0] == "models"
    )


@pytest.mark.parametrize(
    "words",
    [[], *[[w] for w in ("segment", "train", "batch", "inspect", "change", "audit")], ["models", "export"]],
    ids=str,
)
def test_help_names_no_types_of_python(words):
    text = good(*words, "--help")
    assert not {"<bool>", "<str>", "<float>", "<int>", "<path>", "<list"} & set(re.findall("<[a-z]+>?", text))


def test_what_is_not_there_is_said_before_a_name_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "There is no 'my-cells.training'. Give a folder" in bad("train", "my-cells.training")
    assert "needs a name" in bad("train", ".")


def test_help_tells_files_from_folders(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = good("batch", "--help")
    assert re.search("images... +<file or folder> ", text)
    assert re.search("--output .* <folder> ", text)
    assert re.search("--channel +<file> ", text)


def test_help_flows_to_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in good("evaluate", "--help").splitlines()]
    assert "scores." in lines, "the last word of a paragraph is alone only if the others were joined"
    assert "With --tracks both are folders of the Cell Tracking Challenge, or labels in" in lines


def test_help_is_quick_and_loads_nothing_heavy():
    code = """
import sys, time
from napari_unet.cli import main
try:
    main()
finally:
    heavy = {"torch", "dask", "skimage", "napari", "scipy", "numba", "zarr", "numpy", "tifffile"} & set(sys.modules)
    sys.stderr.write(f"{time.process_time()} {sorted(heavy)}")
"""
    runs = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        for words in (["--help"], ["segment", "--help"], ["--version"])
    ]
    assert "segment" in runs[0].stdout
    assert runs[2].stdout.startswith("napari-unet-suite ")
    for done in runs:
        seconds, heavy = done.stderr.split(" ", 1)
        assert heavy == "[]"
        # Of the processor: the clock on the wall also counts what else the machine does.
        assert float(seconds) < 1


def test_listing_models_loads_no_torch(here):
    code = "import sys; from napari_unet.cli import app; app(['models'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "bright" in done.stdout
    assert not {"torch", "dask", "skimage", "numpy"} & set(done.stdout.splitlines()[-1].split())


# Segment


def test_one_hash_and_one_object(here, disks):
    spec = SegmentSpec(model="bright", diameter=12.0, device="cpu")
    expected = workflows.segment(disks[0], spec)
    assert finish(workflows.segment_steps(disks[0], spec)).hash == expected.hash
    common = ("segment", "cells.tif", "--model", "bright", "--diameter", 12, "--device", "cpu", "--json")
    found = json.loads(
        good(*common, "-o", "a.ome.zarr", "--table", "a.csv", "--tile", 32, "--batch", 3, "--workers", 2)
    )
    assert found.keys() == FACTS.keys()
    assert all(isinstance(found[key], kind) for key, kind in FACTS.items())
    assert found["labels_hash"] == expected.hash
    assert (found["objects"], found["model"], found["device"], found["diameter"]) == (42, "bright", "cpu", 12.0)
    assert found["sha256"] == expected.manifest["sha256"]
    assert label_hash(np.asarray(workflows.read_labels("a.ome.zarr").data)) == expected.hash
    assert workflows.read_table("a.csv")["index"].tolist() == list(range(1, 43))
    assert json.loads(good(*common, "-o", "a.npy"))["table"] is None
    assert left(here) == ["a.csv", "a.npy", "a.ome.zarr", "cells.tif"]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".zarr", ".tif", ".npy", ".png"])
def test_round_trip(suffix, here, disks):
    text = good("segment", "cells.tif", "--output", f"out{suffix}", "--model", "bright", "--diameter", "12")
    for word in ("Objects", "42", "12.0 pixels", "Mpx/s", "Device", "bright", f"out{suffix}"):
        assert word in text
    labels = workflows.read_labels(f"out{suffix}")
    assert label_hash(np.asarray(labels.data)) == workflows.segment(disks[0], model="bright", diameter=12.0).hash
    assert "exists" in bad("segment", "cells.tif", "-o", f"out{suffix}", "--model", "bright")
    assert label_hash(np.asarray(workflows.read_labels(f"out{suffix}").data)) == label_hash(np.asarray(labels.data))
    good("segment", "cells.tif", "-o", f"out{suffix}", "--model", "bright", "--min-size", 9999, "--overwrite")
    assert np.asarray(workflows.read_labels(f"out{suffix}").data).max() == 0


def test_the_record_goes_with_the_labels(here):
    good("segment", "cells.tif", "-o", "out.ome.zarr", "--model", "bright", "--diameter", "12")
    text = "".join(p.read_text() for p in (here / "out.ome.zarr").rglob("zarr.json"))
    for word in ("labels_hash", "sha256", '"diameter": 12.0'):
        assert word in text


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for another shell")
@pytest.mark.parametrize(
    "spec",
    [
        SegmentSpec(),
        SegmentSpec(
            model="my models/nuclei 2", diameter=1 / 3, channels=(0, 2), threshold=0.4, min_size=12, device="cpu",
            tiling=TilingSpec(tile=128, batch=4, workers=2),
        ),
        SegmentSpec(model=("a", "b c"), average="flips", uncertainty=True, runtime="torch"),
        SegmentSpec(dropout_samples=3),
        SegmentSpec(region=(((-1.5, 0), (0, 9), (7.25, 0)), ((1, 1), (1, 2), (2, 2))), background=0.2),
    ],
    ids=["plain", "all", "several", "dropout", "part"],
)  # fmt: skip
def test_the_widgets_command_is_understood(spec, here, monkeypatch):
    import shlex

    seen: list[Any] = []

    def steps(image: Image, given: SegmentSpec, *_: Any, **__: Any) -> Iterator[Progress]:
        seen.extend([image.axes, given])
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(workflows, "segment_steps", steps)
    np.save("movie.npy", np.zeros((2, 8, 8, 3), np.uint16))
    assert run(*shlex.split(as_command(spec, "movie.npy", "tyxc"))[1:]).exit_code == 130
    assert seen == ["tyxc", spec]


def test_a_part_of_the_image(here, disks):
    corners = [[10.0, 12.0], [10.0, 70.0], [60.0, 12.0]]
    expected = workflows.segment(disks[0], model="bright", diameter=12.0, region=[corners])
    assert 0 < expected.objects < 42
    rows = [f"0.0,polygon,{i}.0,{y},{x}" for i, (y, x) in enumerate(corners)]
    Path("a.csv").write_text("\n".join(["index,shape-type,vertex-index,axis-0,axis-1", *rows, ""]))
    ring = [[x, y] for y, x in [*corners, corners[0]]]
    Path("a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    common = ("segment", "cells.tif", "--model", "bright", "--diameter", 12, "--json", "--overwrite", "-o")
    for region in ("a.csv", "a.geojson", "10,12 10,70 60,12"):
        for output in ("a.tif", "a.ome.zarr"):
            assert json.loads(good(*common, output, "--region", region))["labels_hash"] == expected.hash
    for region, said in (
        ("b.csv", "no file 'b.csv'"), ("1 2", "y,x with spaces"), ("1,2 3,4", "three or more of each"),
        ("500,500 500,600 600,600", "beside 'cells'"),
    ):  # fmt: skip
        assert said in bad(*common, "b.tif", "--region", region)
    assert "'stop' or 'skip'" in bad(*common, "b.tif", "--unreadable", "perhaps")


def test_what_could_not_be_seen_is_said(here, disks):
    data = disks[0].astype(np.float32)
    data[5, 5:9] = np.nan
    tifffile.imwrite("holes.tif", data)
    common = ("segment", "holes.tif", "--model", "bright", "--diameter", 12)
    assert "4 pixels that hold no number" in " ".join(good(*common, "-o", "a.tif").split())
    assert json.loads(good(*common, "-o", "a.ome.zarr", "--json"))["not_a_number"] == 4
    assert "no number" not in good(*common, "-o", "b.tif", "--region", "20,20 20,90 90,90")


def test_averages_and_uncertainty(here, disks, bright):
    common = ("segment", "cells.tif", "--model", "bright", "--diameter", 12, "--device", "cpu", "--average", "flips")
    found = json.loads(
        good(*common, "-o", "a.tif", "--uncertainty", "doubt.tif", "--table", "a.csv", "--json", "--tile", 48)
    )
    expected = workflows.segment(
        disks[0], model="bright", diameter=12.0, device="cpu", average="flips", uncertainty=True, measures=["objects"]
    )
    assert found.keys() == {*FACTS, "uncertainty"}
    assert found["labels_hash"] == expected.hash
    doubt = workflows.read_image("doubt.tif")
    np.testing.assert_array_equal(doubt.data, expected.uncertainty.data)
    np.testing.assert_allclose(workflows.read_table("a.csv")["uncertainty"], expected.table["uncertainty"])
    text = good(*common, "-o", "b.tif", "--uncertainty", "doubt.ome.zarr")
    assert "doubt.ome.zarr" in text
    np.testing.assert_array_equal(workflows.read_image("doubt.ome.zarr").data, doubt.data)
    for words, said in (
        (["-o", "c.tif", "--uncertainty", "doubt.tif"], "exists"),
        (["-o", "c.tif", "--uncertainty", "doubt.png"], "must end in .zarr or .tif or .tiff or .npy"),
        (["-o", "c.tif", "--uncertainty", "c.tif"], "--uncertainty would replace what --output writes"),
        (["-o", "c.tif", "--uncertainty", "cells.tif", "--overwrite"], "--uncertainty would replace the image"),
        (["-o", "c.tif", "--model", bright], "named before"),
        (["-o", "c.tif", "--model", "none"], "At hand: "),
        (["-o", "c.tif", "--dropout-samples", 2], "trained without dropout"),
    ):
        assert said in bad(*common, *words)
    alone = ("segment", "cells.tif", "--model", "bright", "-o", "c.tif")
    assert "uncertainty needs several answers" in bad(*alone, "--uncertainty", "new.tif")
    assert "'none', 'flips' or 'rotations'" in bad(*alone, "--average", "mirrors")
    assert left(here) == ["a.csv", "a.tif", "b.tif", "cells.tif", "doubt.ome.zarr", "doubt.tif"]


def test_nothing_found_is_said(here):
    done = run("segment", "cells.tif", "-o", "out.tif", "--model", "bright", "--threshold", "0.9999")
    assert done.exit_code == 0
    assert "--threshold" in done.stderr
    assert np.asarray(workflows.read_labels("out.tif").data).max() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.tif", "-o", "a.tif"], "There is no file 'none.tif'"),
        (["notes.txt", "-o", "a.tif"], "cannot be read"),
        (["empty.tif", "-o", "a.tif"], "empty.tif"),
        (["text.npy", "-o", "a.tif"], "text.npy"),
        (["objects.npy", "-o", "a.tif"], "objects.npy"),
        (["cells.tif", "-o", "a.jpg"], "must end in"),
        (["cells.tif", "-o", "a"], "must end in"),
        (["cells.tif", "-o", "none/a.tif"], "does not exist"),
        (["cells.tif", "-o", "cells.tif"], "would replace the image"),
        (["cells.tif", "-o", "./cells.tif", "--overwrite"], "would replace the image"),
        (["cells.tif", "-o", "a.tif", "--table", "a.txt"], ".csv"),
        (["cells.tif", "-o", "a.tif", "--model", "none"], "At hand: "),
        (["cells.tif", "-o", "a.tif", "--model", "notes.txt"], "is not a model"),
        (["cells.tif", "-o", "a.tif", "--diameter", "-1"], "diameter: it should be greater than 0, and is -1.0"),
        (["cells.tif", "-o", "a.tif", "--diameter", "wide"], "--diameter"),
        (["cells.tif", "-o", "a.tif", "--threshold", "7"], "threshold"),
        (["cells.tif", "-o", "a.tif", "--tile", "-1"], "tile"),
        (["cells.tif", "-o", "a.tif", "--device", "tpu"], "Choose one of: auto"),
        (["cells.tif", "-o", "a.tif", "--channels", "red"], "no band named red"),
        (["cells.tif", "-o", "a.tif", "--channels", "3"], "channels 0 to 0"),
        (["cells.tif", "-o", "a.tif", "--axes", "zyx"], "axes"),
        (["cells.tif", "-o", "a.tif", "--axes", "qx"], "axes"),
        (["four.npy", "-o", "a.tif"], "--axes tzyx"),
        (["movie.npy", "-o", "a.png", "--axes", "tyx"], "one plane"),
        (["two.npy", "-o", "a.tif", "--axes", "cyx"], "takes one gray channel or three"),
        (["zero.npy", "-o", "a.tif"], "needs pixels"),
        (["cells.tif"], "--output"),
        (["cells.tif", "-o", "a.tif", "--sise", "3"], "--sise"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_words(words, said, here):
    (here / "notes.txt").write_text("cells")
    (here / "empty.tif").touch()
    (here / "text.npy").write_text("cells")
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    for name, shape in {"four": (2, 2, 8, 8), "movie": (2, 8, 8), "two": (2, 8, 8), "zero": (0, 8)}.items():
        np.save(f"{name}.npy", np.zeros(shape, np.uint16))
    before = left(here)
    model = [] if "--model" in words else ["--model", "bright"]
    assert said in bad("segment", *words, *model)
    assert left(here) == before


@pytest.mark.parametrize(
    "data",
    [np.ones((1, 1)), np.zeros((30, 40)), np.full((30, 40), np.nan), np.full((30, 40), True),
     np.full((9, 9), -7, np.int16), np.array([[1e300, -1e300], [np.inf, 5]]),
     np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8),
     np.random.default_rng(0).integers(0, 255, (20, 30, 4), np.uint8)],
    ids=["one pixel", "constant", "nan", "bool", "negative", "huge", "rgb", "rgba"],
)  # fmt: skip
def test_odd_input_ends_in_labels(data, here):
    np.save("odd.npy", data)
    found = json.loads(good("segment", "odd.npy", "-o", "a.tif", "--model", "bright", "--table", "a.csv", "--json"))
    labels = workflows.read_labels("a.tif")
    assert np.asarray(labels.data).shape == data.shape[:2]
    assert len(workflows.read_table("a.csv")["index"]) == found["objects"]


def test_places_are_checked_before_the_work(here, monkeypatch):
    def steps(*_: Any, **__: Any) -> Any:
        raise AssertionError("The work was begun.")

    monkeypatch.setattr(workflows, "segment_steps", steps)
    (here / "other.zarr").mkdir()
    (here / "other.zarr" / "thesis.txt").touch()
    (here / "a.csv").touch()
    for words in (["-o", "a.xyz"], ["-o", "none/a.tif"], ["-o", "other.zarr", "--overwrite"],
                  ["-o", "b.tif", "--table", "a.csv"], ["-o", "b.tif", "--table", "none/a.csv"]):  # fmt: skip
        bad("segment", "cells.tif", "--model", "bright", *words)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png", ".ome.zarr"])
def test_a_full_disk_leaves_nothing_behind(suffix, here, monkeypatch):
    def full(handle: int) -> None:
        assert len(left(here)) == 2, "something is being written beside its place"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    words = ("segment", "cells.tif", "-o", f"a{suffix}", "--model", "bright", "--diameter", 12)
    assert "No space left" in bad(*words)
    assert left(here) == ["cells.tif"]


# Ends


def test_ctrl_c(here, monkeypatch):
    def steps(*_: Any, **__: Any) -> Iterator[Progress]:
        yield Progress(1, 2, "working")
        raise KeyboardInterrupt

    monkeypatch.setattr(workflows, "segment_steps", steps)
    done = run("segment", "cells.tif", "-o", "a.tif")
    assert done.exit_code == 130
    assert "Stopped" in done.stderr
    assert left(here) == ["cells.tif"]


def test_a_fault_of_the_program_is_shown_whole(here):
    code = (
        "from napari_unet import cli, workflows\n"
        "def read_image(*_): return 1 / 0\n"
        "workflows.read_image = read_image\n"
        "cli.main()"
    )
    words = [sys.executable, "-c", code, "segment", "cells.tif", "-o", "a.tif", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("This is a fault of the program")
    assert not done.stdout


def test_no_viewer_and_no_screen_are_needed(here):
    code = """
import sys
for name in ("napari", "qtpy", "magicgui", "superqt", "PyQt6", "vispy"):
    sys.modules[name] = None
from napari_unet.cli import main
main()
"""
    bare = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    words = ["segment", "cells.tif", "--output", "a.tif", "--model", "bright", "--diameter", "12", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=bare)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["objects"] == 42
    assert not done.stderr


# Train


@pytest.fixture
def annotated(here, disks):
    for name in ("images", "labels"):
        (here / "data" / name).mkdir(parents=True)
    np.save(here / "data" / "images" / "a.npy", disks[0])
    np.save(here / "data" / "labels" / "a.npy", disks[1])
    return here / "data"


TRAIN = ("train", "data", "--name", "mine", "--batch", 1, "--patch", 32, "--every", 1, "--threads", 1, "--json")


def test_a_stopped_training_goes_on_to_the_same_model(annotated, here, monkeypatch):
    whole = json.loads(good(*TRAIN, "--steps", 2, "--folder", "whole"))
    assert whole.keys() == {"name", "folder", "sha256"}
    real = workflows.train_steps

    def stopped(*given: Any) -> Iterator[Progress]:
        for progress in real(*given):
            yield progress
            if progress.done == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workflows, "train_steps", stopped)
        done = run(*TRAIN, "--steps", 2, "--folder", "parts")
    assert done.exit_code == 130
    assert "same command again" in done.stderr
    assert not (here / "parts").exists()
    going_on = run(*TRAIN, "--steps", 2, "--folder", "parts")
    assert "going on" in going_on.stderr
    assert "2/2 loss" in going_on.stderr
    assert json.loads(going_on.stdout)["sha256"] == whole["sha256"]
    assert left(here) == ["cells.tif", "data", "parts", "whole"]
    assert json.loads(good(*TRAIN, "--steps", 2, "--folder", "other", "--seed", 1))["sha256"] != whole["sha256"]
    good("segment", "cells.tif", "-o", "a.tif", "--model", "parts", "--diameter", 24)


def test_a_stopped_training_is_finished_by_name_or_folder(annotated, here, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(here / "models"))
    order = (*TRAIN, "--steps", 3)
    run_folder = here / "models" / "mine.training"
    assert "no training that was begun" in bad(*order, "--finish")
    real = workflows.train_steps

    def stopped(*given):
        for progress in real(*given):
            yield progress
            if progress.done == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workflows, "train_steps", stopped)
        assert "--finish" in run(*order).stderr
    with monkeypatch.context() as patch:
        patch.setattr(workflows, "is_training", lambda folder: True)
        assert "made by the program that trains" in " ".join(good(*order, "--finish").split())
    assert (run_folder / "finish").exists()
    # The run lies among the models, not here: its name is enough.
    assert not (here / "mine.training").exists()
    for other, word in (("--steps", 5), "steps"), (("--minutes", 2), "minutes"), (("--name", "x"), "name"):
        assert f"and {word} would be another" in bad("train", "mine.training", "--finish", *other)
        assert not (run_folder / "finish").exists()
    assert "planned already" in bad("train", "mine.training", "--dry-run")
    order = ("train", "mine.training", "--finish", "--license", "CC0-1.0", "--seed", 0, "--json")
    assert json.loads(good(*order))["name"] == "mine"
    assert not run_folder.exists()
    card = json.loads((here / "models" / "mine" / "card.json").read_text())
    assert (card["license"], card["recipe"][:12]) == ("CC0-1.0", "1 of 3 steps")


def test_a_trained_model_is_found_by_name(annotated, here, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(here / "mine"))
    text = good(*TRAIN[:-1], "--steps", 1)
    assert "--model mine" in text
    assert "1, which are few" in text
    assert "mine" in good("models")
    assert "--overwrite" in bad(*TRAIN, "--steps", 1)
    good(*TRAIN, "--steps", 1, "--overwrite")
    for more in ((), ("--dry-run",)):
        assert "model of the program" in bad("train", "data", "--name", "nuclei", "--steps", 1, "--overwrite", *more)


def test_a_folder_of_other_things_is_never_replaced(annotated, here):
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.txt").touch()
    for more in ((), ("--overwrite",)):
        assert "is no model" in bad(*TRAIN, "--steps", 1, "--folder", "thesis", *more)
    assert left(here / "thesis") == ["chapter.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none"], "none"),
        (["cells.tif"], "cells.tif"),
        (["data", "--name", "a/b"], "cannot be the name of a model"),
        (["data", "--task", "cat"], "cell"),
        (["data", "--steps", "0"], "steps"),
        (["data", "--patch", "3"], "patch"),
        (["data", "--steps", "9", "--minutes", "1"], "not both"),
        (["data/images"], "images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_training_data_ends_in_words(words, said, annotated):
    name = [] if "--name" in words else ["--name", "mine"]
    assert said in bad("train", *words, *name, "--json", "--folder", "new").replace("starting", "")
    assert left(annotated.parent) == ["cells.tif", "data"]


@pytest.mark.skipif(sys.platform == "win32", reason="another kind of signal")
def test_a_real_ctrl_c(annotated, here):
    words = [*map(str, TRAIN[:-1]), "--steps", "100000", "--folder", "new"]
    said = here.parent / f"{here.name} said"
    with said.open("wb") as file:
        running = forked.Popen([sys.executable, "-m", "napari_unet", *words], stderr=file)
    try:
        for _ in range(2400):
            if (here / "new.training" / "last.pt").exists() or running.poll() is not None:
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        running.wait(120)
    finally:
        running.kill()
    told = said.read_text()
    assert running.returncode == 130, told
    assert "same command again" in told
    assert "Traceback" not in told
    assert left(here) == ["cells.tif", "data", "new.training"]


@pytest.mark.skipif(sys.platform == "win32", reason="another kind of signal")
def test_a_signal_does_not_cut_off_why_a_training_failed():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with training._wishes(False) as wishes:
            wishes.failing = True
            signal.raise_signal(signal.SIGTERM)
            assert not wishes.stopped
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == before
        with training._wishes(False) as wishes:
            wishes.failing = True
        signal.raise_signal(signal.SIGTERM)  # while it is being said
    finally:
        signal.signal(signal.SIGTERM, before)


# The other commands


def test_evaluate(here, disks):
    labels = Image(disks[1], "yx")
    half = Image(np.where(disks[1] <= 21, disks[1], 0), "yx")
    for folder, second in (("true", labels), ("found", half)):
        (here / folder).mkdir()
        workflows.write_labels(here / folder / "a.tif", labels)
        workflows.write_labels(here / folder / "b.tif", second)
    scores = json.loads(good("evaluate", "true", "found", "--json"))
    assert scores["images"] == 2
    assert scores["AP50"] == pytest.approx(0.75)
    assert "0.500" in good("evaluate", "true/b.tif", "found/b.tif")
    assert "no file" in bad("evaluate", "true/b.tif", "found/c.tif")
    assert "one of each" in bad("evaluate", "true/b.tif", "found")
    (here / "none").mkdir()
    assert "holds no labels" in bad("evaluate", "true", "none")


def test_measure(here, disks):
    workflows.write_labels("labels.tif", Image(disks[1], "yx", (0.5, 0.5), ("micrometer",) * 2))
    assert "42" in good("measure", "labels.tif", "--image", "cells.tif", "-o", "table.csv")
    table = workflows.read_table("table.csv")
    assert table["index"].tolist() == list(range(1, 43))
    assert {"area", "intensity_mean"} <= table.keys()
    assert "exists" in bad("measure", "labels.tif", "-o", "table.csv")
    good("measure", "labels.tif", "-o", "table.csv", "--overwrite")
    assert "intensity_mean" not in workflows.read_table("table.csv")
    np.save("movie.npy", np.stack([disks[1]] * 2))
    np.save("pictures.npy", np.stack([disks[0]] * 2))
    good("measure", "movie.npy", "--image", "pictures.npy", "--axes", "tyx", "-o", "movie.csv")
    assert set(workflows.read_table("movie.csv")["t"]) == {0, 1}
    good("measure", "movie.npy", "--axes", "tyx", "-o", "movie.csv", "--overwrite")
    assert ".csv" in bad("measure", "labels.tif", "-o", "table.tif")
    assert "no file" in bad("measure", "none.tif", "-o", "new.csv")
    np.save("small.npy", np.zeros((3, 3)))
    bad("measure", "labels.tif", "--image", "small.npy", "-o", "new.csv")


def test_around(here, disks):
    workflows.write_labels("nuclei.tif", Image(disks[1], "yx", (0.5, 0.5), ("micrometer",) * 2))
    good("measure", "nuclei.tif", "--image", "cells.tif", "--around", "2 um", "-o", "table.csv")
    table = workflows.read_table("table.csv")
    assert {"ring_area", "cell_area", "ring_intensity_mean", "cell_intensity_sum", "intensity_ratio"} <= table.keys()
    good("grow", "nuclei.tif", "--by", "4", "-o", "cells.ome.zarr")
    assert json.loads(good("grow", "nuclei.tif", "--by", "2 um", "--ring", "-o", "rings.tif", "--json"))["ring"]
    cells, rings = workflows.read_labels("cells.ome.zarr"), workflows.read_labels("rings.tif")
    assert (cells.scale, cells.units) == ((0.5, 0.5), ("micrometer",) * 2)
    np.testing.assert_array_equal(np.asarray(cells.data), disks[1] + np.asarray(rings.data))
    areas = np.bincount(np.asarray(rings.data).ravel(), minlength=43)[1:] * 0.25
    np.testing.assert_allclose(table["ring_area"], areas)
    assert "is no distance" in bad("grow", "nuclei.tif", "--by", "far", "-o", "new.tif")
    assert "of unknown size" in bad("grow", "cells.tif", "--by", "2 um", "-o", "new.tif")
    assert "exists" in bad("grow", "nuclei.tif", "--by", "4", "-o", "rings.tif")
    assert "object store" in bad("grow", "nuclei.tif", "--by", "4", "-o", "memory://x.ome.zarr")
    lesions = bad("measure", "nuclei.tif", "--measure", "lesions", "--around", "4", "-o", "new.csv")
    assert "without --around" in lesions


def test_a_training_in_the_background_gives_way_but_not_for_ever(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "nice", asked.append, raising=False)
    training._give_way()
    (by,) = asked
    assert 1.25**by > 2  # the share of others, by the weights of Linux
    assert 1.25**by < 4


def test_a_terminal_tells_the_time_that_is_left_of_all_stages(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("napari_unet._terminal.time", SimpleNamespace(monotonic=iter(range(0, 100, 20)).__next__))
    watch(stage((Progress(done + 1, 5, "Counting") for done in range(5)), 0, 3))
    written = capsys.readouterr().err
    assert "5/15" in written
    assert "about 3 min left" in written


def test_objects_within_objects(here, disks):
    halves = np.where(disks[1] % 2, disks[1], 0) * (np.arange(disks[1].shape[1]) % 3 > 0)
    for name, labels in (("cells.ome.zarr", disks[1]), ("some foci.tif", halves)):
        workflows.write_labels(name, Image(labels, "yx", (0.5, 0.5), ("micrometer",) * 2))
    good("measure", "cells.ome.zarr", "--inside", "some foci.tif", "-o", "cells.csv")
    good("measure", "some foci.tif", "--within", "cells.ome.zarr", "--within", "some foci.tif", "-o", "foci.csv")
    cells, foci = workflows.read_table("cells.csv"), workflows.read_table("foci.csv")
    np.testing.assert_array_equal(cells["some_foci_count"], cells["index"] % 2)
    np.testing.assert_allclose(cells["some_foci_area"], [(halves == k).sum() * 0.25 for k in cells["index"]])
    np.testing.assert_array_equal(foci["in_cells"], foci["index"])
    np.testing.assert_array_equal(foci["in_some_foci_share"], 1.0)
    movie = np.stack([disks[1], disks[1]]).astype(np.int32)
    for name in ("movie", "others"):
        np.save(f"{name}.npy", movie)
    good("measure", "movie.npy", "--image", "movie.npy", "--axes", "tyx", "--inside", "others.npy", "-o", "movie.csv")
    assert {*workflows.read_table("movie.csv")["others_count"]} == {1}
    workflows.write_labels("stack.ome.tif", Image(movie, "zyx"))
    refused = bad("measure", "stack.ome.tif", "--axes", "zyx", "--inside", "some foci.tif", "-o", "new.csv")
    assert "do not cover the same pixels" in refused
    others = ("--inside", "stack.ome.tif", "--within", "some foci.tif")
    good("measure", "movie.npy", "--axes", "tyx", *others, "-o", "m.csv")
    told = workflows.read_table("m.csv")
    assert {*told["stack_count"]} == {1}
    np.testing.assert_array_equal(told["in_some_foci"], told["index"] * (told["index"] % 2))
    lesions = bad("measure", "cells.ome.zarr", "--measure", "lesions", "--inside", "some foci.tif", "-o", "new.csv")
    assert "without --inside" in lesions
    assert "no file" in bad("measure", "cells.ome.zarr", "--inside", "none.tif", "-o", "new.csv")
    again = bad("measure", "cells.ome.zarr", "--inside", "some foci.tif", "--inside", "some foci.tif", "-o", "new.csv")
    assert "Two of the labels are called 'some_foci'" in again


def test_models(here, bright):
    assert "bright" in good("models")
    cards = json.loads(good("models", "--json"))
    (card,) = [card for card in cards if card["name"] == "bright"]
    assert len(card["sha256"]) == 64
    assert json.loads(good("models", "bright", "--json")) == card
    assert card["sha256"] in good("models", "bright")
    assert card["sha256"] in good("models", bright)
    assert "At hand" in bad("models", "nonsense")


def test_no_models(here, monkeypatch):
    monkeypatch.setattr(workflows, "list_models", list)
    assert "No model" in bad("models")
    assert json.loads(good("models", "--json")) == []


def test_info():
    found = json.loads(good("info", "--json"))
    assert found["packages"]["torch"]
    assert found["device"] in good("info")


@pytest.fixture
def small_samples(disks, monkeypatch):
    gray = Image(disks[0], "yx", name="simulated-nuclei")
    color = Image(np.stack([disks[0] // 20] * 3, -1).astype(np.uint8), "yxc", name="immunohistochemistry")
    samples = {"simulated-nuclei": (gray, disks[1]), "immunohistochemistry": (color, None)}
    monkeypatch.setattr(workflows, "sample", samples.__getitem__)


def test_demo(here, small_samples, monkeypatch):
    shown = []
    monkeypatch.setattr(workflows, "show", shown.append)
    monkeypatch.setattr(cli.commands, "_has_screen", lambda: True)
    for _ in range(2):
        text = good("demo", "--model", "bright", "--no-viewer")
    assert not shown
    for word in ("simulated-nuclei", "immunohistochemistry", "Objects", "Mpx/s", "Device", "bright", "AP50"):
        assert word in text
    assert text.count("AP50") == 1
    names = [f"{name}{end}" for name in workflows.SAMPLES for end in (".csv", ".ome.zarr", ".png")]
    assert left(here / "demo_output") == sorted(names)
    assert workflows.read_table(here / "demo_output" / "immunohistochemistry.csv")
    good("demo", "--model", "bright", "--output", "a/b")
    assert [len(found) for found in shown] == [2]
    monkeypatch.setattr(cli.commands, "_has_screen", lambda: False)
    good("demo", "--model", "bright", "--output", "a/b")
    assert len(shown) == 1


def test_demo_without_a_viewer_says_how_to_get_one(here, small_samples, monkeypatch):
    def show(_: Any) -> None:
        raise MissingExtraError("napari", "all", "The viewer")

    monkeypatch.setattr(workflows, "show", show)
    monkeypatch.setattr(cli.commands, "_has_screen", lambda: True)
    done = run("demo", "--model", "bright")
    assert done.exit_code == 0
    assert "pip install" in done.stderr
    assert "cannot be made" in bad("demo", "--model", "bright", "--output", "cells.tif")


@pytest.mark.parametrize(
    ("platform", "variables", "terminal", "expected"),
    [
        ("linux", {}, True, False),
        ("linux", {"DISPLAY": ":0"}, True, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ("linux", {"DISPLAY": ":0"}, False, False),
        ("linux", {"DISPLAY": ":0", "CI": "true"}, True, False),
        ("darwin", {}, True, True),
        ("win32", {}, True, True),
        ("win32", {"CI": "1"}, True, False),
    ],
)
def test_a_screen(platform, variables, terminal, expected, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        cli.commands, "sys", SimpleNamespace(platform=platform, stdin=SimpleNamespace(isatty=lambda: terminal))
    )
    assert cli.commands._has_screen() is expected
