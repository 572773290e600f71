"""In parts, for sites without a scheduler: any order, again, stopped in between, and the labels are the same."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import napari_unet
from napari_unet import cli, workflows
from napari_unet.core.errors import ClusterError, OutputError
from napari_unet.core.steps import finish
from napari_unet.io.choosing import run_folder
from napari_unet.io.journal import Journal

OUTPUT = "a.ome.zarr"


def do(field: Path, spec: Any, output: Path, part: int, of: int, steps: int = 10**6) -> Any:
    """Do a part, or only so many steps of it."""
    run = workflows.segment_part_steps(napari_unet.read_image(field), spec, output, part, of)
    try:
        for _ in range(steps):
            next(run)
    except StopIteration as end:
        return end.value
    finally:
        run.close()
    return None


@settings(deadline=None, max_examples=5)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([3, 3, 4]), st.sampled_from([5, 20, 10**6])), max_size=5),
)
def test_any_parts_in_any_order_stopped_anywhere(tmp_path_factory, field, spec, expected, parts):
    output = tmp_path_factory.mktemp("parts") / OUTPUT
    do(field, spec, output, 1, 3, 4)
    for part, of, steps in parts:
        do(field, spec, output, part, of, steps)
    found = finish(workflows.finalize_steps(output))
    assert found.hash == expected
    assert [p.name for p in output.parent.iterdir()] == [OUTPUT]


def test_all_parts_at_once_leave_little_to_finalize(field, spec, expected, tmp_path):
    output, done, errors = tmp_path / OUTPUT, [], []

    def one(number: int) -> None:
        try:
            done.append(do(field, spec, output, number, 4))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    journal = Journal(run_folder(output))
    bricks = sum(part.bricks for part in done)
    assert sum(part.scored for part in done) == bricks == journal.count("rims")
    assert journal.count("forest") > 0.8 * bricks
    for number in (2, 4):
        assert do(field, spec, output, number, 4).scored == 0
    assert journal.count("forest") == bricks  # who comes last does what waited for others
    assert journal.count("scores") == 0
    assert finish(workflows.finalize_steps(output)).hash == expected
    # Once more: nothing is done, nothing changes.
    assert do(field, spec, output, 2, 4).bricks == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [OUTPUT]


def test_parts_and_whole_runs_keep_out_of_each_others_way(field, spec, tmp_path):
    output = tmp_path / OUTPUT
    do(field, spec, output, 1, 2, 6)
    journal = Journal(run_folder(output))
    with journal.share("1-of-2"):
        with pytest.raises(OutputError, match="doing part 1-of-2 of this run right now"):
            do(field, spec, output, 1, 2)
        with pytest.raises(OutputError, match="writing this result right now"):
            finish(workflows.finalize_steps(output))
        do(field, spec, output, 2, 2, 6)
    with journal, pytest.raises(OutputError, match="writing this result right now"):
        do(field, spec, output, 1, 2)


def test_what_cannot_be_done_in_parts_is_refused(field, spec, tmp_path):
    output = tmp_path / OUTPUT
    for part in (0, 4):
        with pytest.raises(ClusterError, match=f"no part {part} of 3"):
            do(field, spec, output, part, 3)
    with pytest.raises(OutputError, match="no run to complete"):
        finish(workflows.finalize_steps(output))
    do(field, spec, output, 1, 3, 6)
    with pytest.raises(OutputError, match="other settings"):
        do(field, spec.model_copy(update={"threshold": 0.7}), output, 2, 3)
    with pytest.raises(OutputError, match="does not exist"):
        do(field, spec, tmp_path / "missing" / OUTPUT, 1, 3)
    finish(workflows.finalize_steps(output))
    with pytest.raises(OutputError, match="finished"):
        finish(workflows.finalize_steps(output))
    with pytest.raises(OutputError, match="other settings"):
        do(field, spec.model_copy(update={"threshold": 0.7}), output, 2, 3)


def test_what_a_part_would_leave_undone_is_refused(field, spec, tmp_path):
    words = ["segment", str(field), "-o", str(tmp_path / OUTPUT), "--model", spec.models[0], "--part", "1"]
    more = ["--of", "2", "--table", "a.csv", "--scheduler", "tcp://x:1"]
    wrong = {
        "--part needs --of": [],
        "--table and --scheduler cannot be given with --part": more,
    }
    for reason, more in wrong.items():
        found = CliRunner().invoke(cli.commands.app, [*words, *more])
        assert found.exit_code == 2
        assert reason in " ".join(found.output.split())
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("a.")] == []


def test_the_size_of_pixels_is_the_one_that_was_told(field, spec, tmp_path):
    # As of a layer whose scale was set in the viewer; sizes in µm are counted by it.
    told = replace(napari_unet.read_image(field), scale=(0.5, 0.5), units=("micrometer", "micrometer"))
    spec = spec.model_copy(update={"min_size": "40 um2"})
    expected = napari_unet.segment(told, spec)
    assert expected.objects < napari_unet.segment(told, spec.model_copy(update={"min_size": None})).objects
    finish(workflows.segment_part_steps(told, spec, tmp_path / OUTPUT, 1, 2))
    found = finish(workflows.finalize_steps(tmp_path / OUTPUT))
    assert (found.hash, found.labels.scale) == (expected.hash, told.scale)


def test_by_commands(field, spec, expected, tmp_path):
    words = [str(field), "-o", str(tmp_path / OUTPUT), "--model", spec.models[0], "--diameter", "12", "--tile", "96"]
    more = ["--device", "cpu", "--workers", "1", "--json"]
    for part in "21":
        found = CliRunner().invoke(cli.commands.app, ["segment", *words, *more, "--part", part, "--of", "2"])
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout)["scored"] > 0
    found = CliRunner().invoke(cli.commands.app, ["finalize", str(tmp_path / OUTPUT), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["labels_hash"] == expected
