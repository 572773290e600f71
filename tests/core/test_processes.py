"""This program started once more: the same Python, heard as UTF-8, and without windows of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_unet.core.errors import UNetError
from napari_unet.core.processes import again, shell_line

FLAGS = {"CREATE_NO_WINDOW": 1, "CREATE_NEW_PROCESS_GROUP": 2, "BELOW_NORMAL_PRIORITY_CLASS": 4, "DETACHED_PROCESS": 8}


def test_what_it_prints_can_be_read_whatever_the_code_page():
    how = again(["info"], env={"RANK": "1"})
    assert how["args"] == [sys.executable, "-m", "napari_unet", "info"]
    assert (how["env"]["PYTHONIOENCODING"], how["env"]["RANK"]) == ("utf-8", "1")
    assert not how["start_new_session"]
    assert again(["info"], outlives=True)["start_new_session"]


def test_no_window_pops_up(monkeypatch):
    for name, value in FLAGS.items():
        monkeypatch.setattr(subprocess, name, value, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert again(["train"])["creationflags"] == 1
    assert again(["train"], gives_way=True)["creationflags"] == 1 | 4
    # What a process without any terminal starts would open one.
    assert again(["drive"], outlives=True)["creationflags"] == 1 | 2
    assert not again(["drive"], outlives=True)["start_new_session"]


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("executable", None), ("frozen", True)])
def test_a_packed_program_is_told_so(monkeypatch, name, value):
    monkeypatch.setattr(sys, name, value, raising=False)
    with pytest.raises(UNetError, match="packed into one program"):
        again(["train"])


def test_a_line_for_the_shells_of_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    words = [r"C:\data\a b.tif", "--channels", "0,2", r"D:\R&D;(1)\x.tif", "", "area > 2", "x\\ y\\", "µm.tif"]
    assert shell_line(words) == (
        r'"C:\data\a b.tif" --channels "0,2" "D:\R&D;(1)\x.tif" "" "area > 2" "x\ y\\" "µm.tif"'
    )


def test_a_line_for_other_shells():
    assert shell_line(["napari-unet", "a b", "x"]) == "napari-unet 'a b' x"
