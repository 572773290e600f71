"""Long jobs as generators."""

from __future__ import annotations

import pytest

from napari_unet.core.errors import MissingExtraError, UNetError
from napari_unet.core.steps import Progress, finish


def job(count, log):
    try:
        for done in range(count):
            yield Progress(done, count)
        return "result"
    finally:
        log.append("closed")


def test_finish_returns_the_result_and_shows_every_step():
    log, shown = [], []
    assert finish(job(3, log), shown.append) == "result"
    assert [p.done for p in shown] == [0, 1, 2]
    assert finish(job(0, log)) == "result"
    assert log == ["closed", "closed"]


def test_a_job_is_closed_when_showing_fails():
    log = []

    def show(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(job(3, log), show)
    assert log == ["closed"]


def test_an_error_of_the_job_passes():
    def broken():
        yield Progress(0, 1)
        raise UNetError("no")

    with pytest.raises(UNetError, match="no"):
        finish(broken())


def test_a_missing_extra_says_how_to_get_it():
    assert 'pip install "napari-unet-suite[geo]"' in str(MissingExtraError("rasterio", "geo", "Reading GeoTIFF"))
