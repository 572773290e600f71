"""Folders of the Cell Tracking Challenge are scored as there: gaps, renamed tracks and sparse masks too."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet import cli
from napari_unet.core.errors import ImageError
from napari_unet.workflows import read_annotations, read_tracks, score_tracks, track

Rows = list[tuple[int, int, int, int]]
STAY = [{1: 0, 2: 20}] * 5
GAP = [{1: 0, 2: 20}, {1: 0, 2: 20}, {1: 0}, {1: 0, 3: 20}, {1: 0, 3: 20}]
RENAMED = [{1: 0, 2: 20}, {1: 0, 2: 20}, {1: 0, 3: 20}, {1: 0, 3: 20}, {1: 0, 3: 20}]
LONG: Rows = [(1, 0, 4, 0), (2, 0, 4, 0)]
CLOSED: Rows = [(1, 0, 4, 0), (2, 0, 1, 0), (3, 3, 4, 2)]
CASES = {
    "gap in both": (GAP, GAP, CLOSED, CLOSED),
    "gap not closed": (GAP, GAP, CLOSED, [(1, 0, 4, 0), (2, 0, 1, 0), (3, 3, 4, 0)]),
    "gap closed": (STAY, GAP, LONG, CLOSED),
    "renamed": (RENAMED, STAY, [(1, 0, 4, 0), (2, 0, 1, 0), (3, 2, 4, 2)], LONG),
}


def squares(frames: list[dict[int, int]]) -> np.ndarray:
    """Draw squares of 6 pixels, by number and column."""
    labels = np.zeros((len(frames), 10, 40), np.uint16)
    for t, frame in enumerate(frames):
        for number, x in frame.items():
            labels[t, 2:8, x : x + 6] = number
    return labels


def put(folder: Path, labels: np.ndarray, name: str, rows: Rows = ()) -> Path:
    folder.mkdir(parents=True)
    for t, frame in enumerate(labels):
        tifffile.imwrite(folder / f"{name}{t:03d}.tif", frame, photometric="minisblack")
    text = {"mask": "res_track.txt", "man_track": "man_track.txt"}.get(name)
    if text:
        (folder / text).write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_gaps_and_renamed_tracks_count_as_in_the_challenge(tmp_path, case):
    from ctc_metrics.scripts import evaluate

    true, found, true_rows, rows = CASES[case]
    put(tmp_path / "GT" / "TRA", squares(true), "man_track", true_rows)
    put(tmp_path / "GT" / "SEG", squares(true), "man_seg")
    put(tmp_path / "RES", squares(found), "mask", rows)
    with contextlib.redirect_stdout(io.StringIO()):
        names = ["SEG", "DET", "TRA", "LNK", "CHOTA"]
        expected = evaluate.evaluate_sequence(str(tmp_path / "RES"), str(tmp_path / "GT"), list(names), threads=1)
    truth, result = read_tracks(tmp_path / "GT"), read_tracks(tmp_path / "RES")
    judged = score_tracks(result.tracks, result.labels, truth.tracks, truth.labels, truth.annotations)
    assert {name: judged.scores[name] for name in names} == pytest.approx({name: expected[name] for name in names})


def test_a_gap_counts_the_same_before_and_after_it_is_written(tmp_path):
    put(tmp_path / "GT" / "TRA", squares(STAY), "man_track", LONG)
    put(tmp_path / "RES", squares(GAP), "mask", CLOSED)
    truth, result = read_tracks(tmp_path / "GT"), read_tracks(tmp_path / "RES")
    made = score_tracks(track(squares(GAP)), squares(GAP), truth.tracks, truth.labels)
    assert made.scores == pytest.approx(
        score_tracks(result.tracks, result.labels, truth.tracks, truth.labels).scores, nan_ok=True
    )
    assert made.errors["kind"].tolist() == ["missed object"]


def evaluate(*words: Path) -> dict:
    done = CliRunner().invoke(cli.app, ["evaluate", *map(str, words), "--tracks", "--json"], prog_name="napari-unet")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("digits", [3, 4])
def test_seg_is_that_of_the_masks_that_are_annotated(tmp_path, digits):
    labels = squares(STAY)
    marks = np.where((squares([{1: 1, 2: 21}] * 5) > 0) & (np.arange(40) % 20 < 5), labels, 0)
    put(tmp_path / "01_GT" / "TRA", marks, "man_track", LONG)
    result = labels.copy()
    result[3, 2:4, :6] = 0
    put(tmp_path / "01_RES", result, "mask", LONG)
    (tmp_path / "01_GT" / "SEG").mkdir()
    for t, kept in ((1, 2), (3, 1)):
        one = np.where(labels[t] == kept, 50 + kept, 0).astype(np.uint16)
        tifffile.imwrite(tmp_path / "01_GT" / "SEG" / f"man_seg{t:0{digits}d}.tif", one)
    for place in ("01_GT", "01_GT/TRA"):
        scores = evaluate(tmp_path / place, tmp_path / "01_RES")
        assert scores["SEG"] == pytest.approx((1 + 4 / 6) / 2)
        assert (scores["DET"], scores["annotations"]) == (1, 2)
    assert evaluate(tmp_path / "01_GT" / "SEG", tmp_path / "01_RES") == {
        "SEG": pytest.approx((1 + 4 / 6) / 2),
        "annotations": 2,
    }
    words = ["evaluate", *map(str, (tmp_path / "01_GT" / "SEG", tmp_path / "01_RES")), "--errors", "errors.csv"]
    done = CliRunner().invoke(cli.app, words, prog_name="napari-unet")
    assert done.exit_code == 2
    assert "no errors can be listed" in done.stderr
    with pytest.raises(ImageError, match="no tracks"):
        read_tracks(tmp_path / "01_GT" / "SEG")


def test_planes_of_volumes_are_annotated_alone(tmp_path):
    volume = np.zeros((3, 4, 12, 30), np.uint16)
    volume[:, 1:, 2:8, 2:8], volume[:, :2, 2:8, 20:26] = 1, 2
    put(tmp_path / "01_GT" / "TRA", volume, "man_track", [(1, 0, 2, 0), (2, 0, 2, 0)])
    result = volume.copy()
    result[1, 1, 2:8, 2:4] = 0
    put(tmp_path / "01_RES", result, "mask", [(1, 0, 2, 0), (2, 0, 2, 0)])
    (tmp_path / "01_GT" / "SEG").mkdir()
    for t, z in ((1, 1), (2, 3)):
        tifffile.imwrite(tmp_path / "01_GT" / "SEG" / f"man_seg_{t:03d}_{z:03d}.tif", volume[t, z])
    assert [(one.t, one.z) for one in read_annotations(tmp_path / "01_GT")] == [(1, 1), (2, 3)]
    assert evaluate(tmp_path / "01_GT", tmp_path / "01_RES")["SEG"] == pytest.approx((4 / 6 + 1 + 1) / 3)
    tifffile.imwrite(tmp_path / "01_GT" / "SEG" / "man_seg_009_001.tif", volume[0, 1])
    found = read_tracks(tmp_path / "01_RES")
    with pytest.raises(ImageError, match="t = 9"):
        score_tracks(found.tracks, found.labels, found.tracks, found.labels, read_annotations(tmp_path / "01_GT"))
