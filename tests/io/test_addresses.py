"""OME-Zarr on servers, read chunk by chunk; what cannot be reached is said."""

from __future__ import annotations

import functools
import http.server
import random
import shutil
import sys
import tempfile
import threading
import types
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, MissingExtraError
from napari_unet.io.addresses import as_address, as_file
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels, write_labels
from napari_unet.tiling.chunks import cached

DATA = np.random.default_rng(0).integers(0, 200, (2, 64, 80)).astype(np.uint16)


def store(folder, version=3, data=DATA):
    root = zarr.open_group(folder, mode="w", zarr_format=version)
    levels = (data, data[:, ::2, ::2])
    for number, level in enumerate(levels):
        root.create_array(str(number), data=level, chunks=(1, 16, 16))
    multiscales = [{"axes": ["c", "y", "x"], "datasets": [{"path": "0"}, {"path": "1"}]}]
    root.attrs.update({"multiscales": multiscales} if version == 2 else {"ome": {"multiscales": multiscales}})
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, counts, says nothing, and fails where it is told to."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.flaky.random() < self.server.share:
            self.send_error(self.server.flaky.choice([500, 503, 429]))
            return
        if self.path in self.server.broken:
            self.send_error(500)
            return
        super().do_GET()

    def log_message(self, *_args):
        pass


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that serves a folder."""
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        found.asked, found.broken, found.flaky, found.share = [], set(), random.Random(0), 0.0
        found.url = f"http://127.0.0.1:{found.server_port}"
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("version", [2, 3])
def test_over_http(tmp_path, server, version):
    store(tmp_path / "cells.ome.zarr", version)
    image = read_image(f"{server.url}/cells.ome.zarr")
    assert (image.name, image.axes, image.shape) == ("cells", "cyx", DATA.shape)
    assert image.source == f"{server.url}/cells.ome.zarr"
    assert [level.shape for level in image.levels] == [(2, 32, 40)]
    opened = len(server.asked)
    window = (slice(0, 2), slice(3, 30), slice(20, 40))
    kept = cached(image)
    for _ in range(3):
        np.testing.assert_array_equal(kept.data[window], DATA[window])
    chunks = server.asked[opened:]
    assert len(chunks) == len({*chunks}) == 2 * 2 * 2
    np.testing.assert_array_equal(read_image(f"{server.url}/cells.ome.zarr/0", "tyx").data[...], DATA)


def test_from_memory():
    files = fsspec.filesystem("memory")
    folder = store_in_memory(files)
    image = read_image("memory://somewhere/cells.ome.zarr")
    np.testing.assert_array_equal(cached(image).data[0:2, 0:64, 0:80], DATA)
    files.rm(folder, recursive=True)
    with pytest.raises(ImageError, match="could not be opened as OME-Zarr"):
        read_image("memory://somewhere/cells.ome.zarr")


def store_in_memory(files, place="/somewhere/cells.ome.zarr"):
    with tempfile.TemporaryDirectory() as folder:
        files.put(str(store(Path(folder) / "a")) + "/", place, recursive=True)
    return place


def test_labels_over_http(tmp_path, server):
    labels = (DATA[0] // 50).astype(np.int32)
    write_labels(tmp_path / "labels.ome.zarr", Image(labels, "yx"))
    found = read_labels(f"{server.url}/labels.ome.zarr")
    np.testing.assert_array_equal(np.asarray(found.data), labels)


def test_a_path_may_be_an_address(tmp_path, server, bright, disks):
    write = zarr.open_group(tmp_path / "disks.zarr", mode="w")
    write.create_array("0", data=disks[0], chunks=(32, 32))
    write.attrs["ome"] = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    address = f"{server.url}/disks.zarr"
    image = workflows.read_image(Path(address))
    assert image.source == address
    remote = workflows.segment(image, model=str(bright))
    assert remote.objects == 42
    assert remote.hash == workflows.segment(disks[0], model=str(bright)).hash


def test_a_server_that_fails_now_and_then_gives_the_same_labels(tmp_path, server, bright, disks):
    write = zarr.open_group(tmp_path / "disks.zarr", mode="w")
    write.create_array("0", data=disks[0], chunks=(12, 12))
    write.attrs["ome"] = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    server.share = 0.05
    image = workflows.read_image(f"{server.url}/disks.zarr")
    found = workflows.segment(image, model=str(bright), tiling={"tile": 32}, output=tmp_path / "labels.ome.zarr")
    assert found.hash == workflows.segment(disks[0], model=str(bright)).hash
    assert len(server.asked) > len({*server.asked})


def test_what_is_forbidden_is_not_asked_for_again(tmp_path, server):
    store(tmp_path / "a.zarr")
    server.share, server.flaky = 1.0, types.SimpleNamespace(random=lambda: 0.0, choice=lambda _: 403)
    with pytest.raises(ImageError, match="403"):
        read_image(f"{server.url}/a.zarr")
    assert len(server.asked) == len({*server.asked})


def test_what_the_server_does_not_give_is_named(tmp_path, server):
    store(tmp_path / "a.zarr")
    plane = cached(read_image(f"{server.url}/a.zarr")).planes(2)[0]
    server.broken.add("/a.zarr/0/c/1/2/3")
    with pytest.raises(ImageError, match=r"a\.zarr' has a part .* c 1 to 1, y 32 to 47, x 48 to 63: 500"):
        plane.read((slice(0, 64), slice(0, 80)))
    server.broken.clear()
    np.testing.assert_array_equal(plane.read((slice(0, 64), slice(0, 80))), DATA)
    with pytest.raises(ImageError, match="Check the address"):
        read_image(f"{server.url}/nothing.zarr")
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(ImageError, match="without an image"):
        read_image(f"{server.url}/empty.zarr")
    with pytest.raises(ImageError, match="Download it first"):
        read_image(f"{server.url}/a.tif")


def test_a_server_that_is_not_there():
    with pytest.raises(ImageError, match=r"127\.0\.0\.1:9.*the connection"):
        read_image("http://127.0.0.1:9/a.zarr")
    with pytest.raises(ImageError, match="Protocol not known"):
        read_image("nowhere://a/b.zarr")


def test_missing_packages_are_named(monkeypatch):
    def fail(*_args, **_more):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("napari_unet.io._zarr_reader.open_address", fail)
    with pytest.raises(MissingExtraError, match=r"s3fs.*napari-unet-suite\[remote\]"):
        read_image("s3://bucket/a.zarr")
    with pytest.raises(MissingExtraError, match="aiohttp"):
        read_image("https://example.org/a.zarr")
    with pytest.raises(ImageError, match="s3fs"):
        read_image("other://bucket/a.zarr")


def test_addresses_and_files(tmp_path, monkeypatch):
    assert as_address("https://a.org/b//c.zarr") == "https://a.org/b//c.zarr"
    assert as_address(Path("HTTP://a.org/b.zarr")) == "http://a.org/b.zarr"
    assert as_address("s3://bucket/key") == "s3://bucket/key"
    for file in ("a.zarr", "/a/b.zarr", "C:\\a\\b.zarr", "C:/a/b.zarr", "./a:b", "file:///a/b.zarr", tmp_path):
        assert as_address(file) is None
    assert as_file("file:///a/b%20c.zarr") == Path("/a/b c.zarr")
    assert as_file(Path("file:///a/b.zarr")) == Path("/a/b.zarr")
    assert as_file("a.zarr") == Path("a.zarr")
    shutil.copytree(store(tmp_path / "a"), tmp_path / "b c.zarr")
    assert read_image((tmp_path / "b c.zarr").as_uri()).shape == DATA.shape
    if sys.platform == "win32":
        return
    # A folder may have an odd name.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tmp_path / "a", tmp_path / "odd:" / "b.zarr")
    assert read_image("odd:/b.zarr").shape == DATA.shape
