"""Labels that go to an object store: the same as on a disk, whatever happens to the run or the server."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import napari_unet
from napari_unet import cli, workflows
from napari_unet.core.errors import ClusterError, OutputError
from napari_unet.core.hashes import label_hash
from napari_unet.core.steps import finish
from napari_unet.io.choosing import WORK, run_folder
from napari_unet.io.images import read_image

from .. import forked
from . import bucket

OUTPUT = "bucket://b/some/where/a.ome.zarr"


def with_bucket():
    bucket.register()
    forked.command()


@pytest.fixture
def server(tmp_path, monkeypatch):
    with bucket.serving() as found:
        monkeypatch.setenv(bucket.URL, found.url)
        monkeypatch.setenv(bucket.KEY, found.key)
        monkeypatch.setenv(WORK, str(tmp_path / "work"))
        monkeypatch.setattr("napari_unet.io.patient._PAUSE", 0.005)
        yield found


@pytest.fixture
def words(field, spec):
    return [str(field), "--model", spec.models[0], "--diameter", "12", "--tile", "96", "--device", "cpu"]


def steps_of(field, spec, output=OUTPUT, **more):
    return workflows.segment_steps(read_image(field), spec, (), preview=False, output=output, **more)


def begin(field, spec, count, note="", output=OUTPUT):
    """Do some steps of a run, or those until it says something, and let go of it."""
    steps = steps_of(field, spec, output)
    for number, progress in enumerate(steps, 1):
        if number == count or progress.note == note:
            break
    steps.close()


def left(tmp_path):
    return [place.name for place in (tmp_path / "work").iterdir()]


@pytest.mark.parametrize("output", [OUTPUT, "memory://some/where/a.ome.zarr"])
def test_labels_pyramid_and_record_are_those_of_a_disk(field, spec, expected, server, tmp_path, output):
    disk = napari_unet.segment(read_image(field), spec, output=tmp_path / "a.ome.zarr")
    found = napari_unet.segment(read_image(field), spec, output=output)
    assert found.hash == disk.hash == expected == label_hash(np.asarray(found.labels.data))
    assert found.manifest == disk.manifest
    assert left(tmp_path) == []
    stored, there = (zarr.open_group(place, mode="r")["labels/a"] for place in (output, tmp_path / "a.ome.zarr"))
    assert dict(stored.attrs) == dict(there.attrs)
    for name in ("0", "1", "2", "digests"):
        np.testing.assert_array_equal(stored[name][...], there[name][...])
    # The same command again verifies what is there.
    before = len(server.asked)
    assert napari_unet.segment(read_image(field), spec, output=output).hash == expected
    assert not any(verb == "PUT" and not key.endswith(".hello") for verb, key in server.asked[before:])


def test_objects_are_written_once_each_and_read_while_the_run_goes_on(field, spec, expected, server):
    seen = set()
    for _ in steps_of(field, spec):
        if "some/where/a.ome.zarr/labels/a/zarr.json" in server.buckets["b"]:
            half = workflows.read_labels(OUTPUT)
            seen.add(int((np.asarray(half.data) > 0).sum()))
    assert workflows.read_labels(OUTPUT).data.shape == (240, 1100)
    assert label_hash(np.asarray(workflows.read_labels(OUTPUT).data)) == expected
    assert 0 in seen
    assert len(seen) > 1
    shards = [key for verb, key in server.asked if verb == "PUT" and "/labels/a/0/c/" in key]
    assert len(shards) == len({*shards}) == 2
    last = [key for verb, key in server.asked if verb == "PUT"][-1]
    assert last == "some/where/a.ome.zarr/labels/a/zarr.json"


@pytest.mark.parametrize(("count", "note"), [(5, ""), (40, ""), (60, ""), (0, "Writing the overviews")])
def test_a_run_that_was_stopped_goes_on(field, spec, expected, server, count, note):
    begin(field, spec, count, note)
    begun = sum(verb == "PUT" for verb, _ in server.asked)
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT).hash == expected
    assert begun < sum(verb == "PUT" for verb, _ in server.asked)


def test_what_is_lost_or_changed_in_the_store_meanwhile_is_written_again(field, spec, expected, server):
    shard = "some/where/a.ome.zarr/labels/a/0/c/0/0"
    steps = steps_of(field, spec)
    while shard not in server.buckets["b"]:
        next(steps)
    steps.close()
    server.buckets["b"][shard] = server.buckets["b"][shard][:-100]
    begin(field, spec, 20)
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT).hash == expected
    server.buckets["b"].pop(shard)
    with pytest.raises(OutputError, match="changed or damaged"):
        napari_unet.segment(read_image(field), spec, output=OUTPUT)
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT, overwrite=True).hash == expected


def test_killed_and_given_again(field, words, expected, server, tmp_path):
    command = ["segment", *words, "-o", OUTPUT, "--workers", "1"]
    for wanted in (10, 30):
        begun = [sys.executable, "-m", "napari_unet", *command]
        run = forked.Popen(begun, stderr=forked.DEVNULL, stdout=forked.DEVNULL, what=with_bucket)
        folder = run_folder(Path(OUTPUT))
        end = time.monotonic() + 120
        while len([*folder.glob("scores/*.part"), *folder.glob("forest/*.part")]) < wanted and run.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        run.kill()
        assert run.wait(30) == -signal.SIGKILL
    found = forked.run([*command, "--json"], what=with_bucket)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["labels_hash"] == expected
    assert json.loads(found.stdout)["output"] == OUTPUT
    assert left(tmp_path) == []


def test_a_flaky_server_gives_the_same_labels(field, spec, expected, server):
    server.share = 0.05
    spec = spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"workers": 2})})
    for _ in range(3):  # enough requests that some fail
        found = napari_unet.segment(read_image(field), spec, output=OUTPUT, overwrite=True)
        assert found.hash == expected == label_hash(np.asarray(found.labels.data))
        server.share = 0.2
        server.buckets["b"].clear()


def test_a_server_that_is_gone_ends_the_run_which_goes_on_later(field, spec, expected, server, monkeypatch):
    monkeypatch.setattr("napari_unet.io.patient._TRIES_TO_WRITE", 2)
    steps = steps_of(field, spec)
    for _ in range(30):
        next(steps)
    server.share = 2.0
    with pytest.raises(OutputError, match="same command again: what is done already stays"):
        finish(steps)
    server.share = 0.0
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT).hash == expected


def test_what_a_server_does_not_show_is_not_made_anew(field, spec, expected, server, monkeypatch):
    def lost(*_):
        raise ConnectionError("reset by the server")

    begin(field, spec, 60)
    objects = dict(server.buckets["b"])
    with monkeypatch.context() as away:
        away.setattr("napari_unet.io.remote_labels.open_labels", lost)
        with pytest.raises(OutputError, match="reset by the server"):
            finish(steps_of(field, spec))
    assert {key: value for key, value in server.buckets["b"].items() if key in objects} == objects
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT).hash == expected


def test_two_runs_keep_out_of_each_others_way(field, spec, expected, server, tmp_path, monkeypatch):
    begin(field, spec, 30)
    first = os.environ[WORK]
    monkeypatch.setenv(WORK, str(tmp_path / "other"))
    with pytest.raises(OutputError, match="another run writes there"):
        napari_unet.segment(read_image(field), spec, output=OUTPUT)
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT, overwrite=True).hash == expected
    monkeypatch.setenv(WORK, first)
    # The other is complete, and the same: what this one has begun is not needed any more.
    assert napari_unet.segment(read_image(field), spec, output=OUTPUT).hash == expected
    with pytest.raises(OutputError, match="other settings"):
        napari_unet.segment(read_image(field), spec, output=OUTPUT, threshold=0.7)


def test_a_place_that_is_taken_from_a_run_is_not_published(field, spec, server, tmp_path, monkeypatch):
    steps = steps_of(field, spec)
    for _ in range(40):
        next(steps)
    with monkeypatch.context() as other:
        other.setenv(WORK, str(tmp_path / "other"))
        begun = steps_of(field, spec, overwrite=True)
        for _ in range(20):
            next(begun)
        begun.close()
    with pytest.raises(OutputError, match="changed by another program"):
        finish(steps)


def test_other_things_are_never_removed(field, spec, server):
    server.buckets["b"]["some/where/a.ome.zarr/thesis.docx"] = b"years of work"
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"holds (something else|other things)"):
            napari_unet.segment(read_image(field), spec, output=OUTPUT, overwrite=overwrite)
    assert server.buckets["b"] == {"some/where/a.ome.zarr/thesis.docx": b"years of work"}


@pytest.mark.parametrize(
    ("output", "change", "says"),
    [
        ("bucket://nowhere/a.ome.zarr", {}, "no such bucket"),
        (OUTPUT, {"key": "another"}, "credentials may not"),
        (OUTPUT, {"allowed": {"GET", "HEAD"}}, "credentials may not"),
        (OUTPUT, {"allowed": {"GET", "HEAD", "PUT"}}, "credentials may not"),
        ("bucket://b/../../a.ome.zarr", {}, "no plain place"),
        ("bucket://b/a.tif", {}, "must end in"),
        ("https://example.org/a.ome.zarr", {}, "read only"),
        ("unheard://b/a.ome.zarr", {}, "Protocol not known"),
    ],
)
def test_what_cannot_be_is_said_before_the_run(field, spec, server, monkeypatch, output, change, says):
    for name, value in change.items():
        setattr(server, name, value)
    monkeypatch.setattr("napari_unet.models.average.gather", lambda _: pytest.fail("the run has begun"))
    with pytest.raises(OutputError, match=says):
        napari_unet.segment(read_image(field), spec, output=output)


def test_missing_credentials_and_packages_are_named(monkeypatch):
    from napari_unet.core.errors import MissingExtraError
    from napari_unet.io import remote_labels

    class NoCredentialsError(Exception):
        """Of botocore."""

    class Lacking:
        async def set(self, *_):
            raise OSError("Unable to locate credentials") from NoCredentialsError()

    monkeypatch.setattr(remote_labels, "open_address", lambda *_, **__: Lacking())
    with pytest.raises(OutputError, match="Credentials are missing"):
        remote_labels.check_store("s3://b/a.ome.zarr")

    def fail(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote_labels, "open_address", fail)
    with pytest.raises(MissingExtraError, match=r"s3fs.*napari-unet-suite\[remote\]"):
        remote_labels.check_store("s3://b/a.ome.zarr")
    with pytest.raises(MissingExtraError, match="gcsfs"):
        remote_labels.check_store("gs://b/a.ome.zarr")


def test_in_parts_by_commands(words, expected, server, tmp_path):
    more = ["-o", OUTPUT, "--work", str(tmp_path / "shared"), "--json"]
    for part in "21":
        found = CliRunner().invoke(cli.commands.app, ["segment", *words, *more, "--part", part, "--of", "2"])
        assert found.exit_code == 0, found.output
    assert len([*(tmp_path / "shared").iterdir()]) == 1
    found = CliRunner().invoke(cli.commands.app, ["finalize", OUTPUT, "--work", str(tmp_path / "shared"), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["labels_hash"] == expected
    assert [*(tmp_path / "shared").iterdir()] == []
    with pytest.raises(OutputError, match="is finished"):
        finish(workflows.finalize_steps(OUTPUT))
    for command in (["finalize", "a.ome.zarr"], ["segment", *words, "-o", "a.ome.zarr"]):
        found = CliRunner().invoke(cli.commands.app, [*command, "--work", str(tmp_path / "other")])
        assert found.exit_code == 2
        assert "lies in no object store" in found.output
    assert not (tmp_path / "other").exists()


def lose_key() -> None:
    os.environ["BUCKET_KEY"] = "another"


def test_on_workers(field, spec, expected, server, tmp_path):
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
    env = {bucket.URL: server.url, bucket.KEY: server.key, "OMP_NUM_THREADS": "1"}
    server.share = 0.05
    with (
        LocalCluster(**options, env=env, preload=[bucket.__file__], silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        assert napari_unet.segment(read_image(field), spec, output=OUTPUT, client=client).hash == expected
        with pytest.raises(ClusterError, match="memory of one process"):
            napari_unet.segment(read_image(field), spec, output="memory://b/a.ome.zarr", client=client)
        server.share, server.buckets = 0.0, {"b": {}}
        client.run(lose_key)
        with pytest.raises(ClusterError, match=r"cannot take part: .*credentials may not"):
            napari_unet.segment(read_image(field), spec, output=OUTPUT, client=client)
    assert left(tmp_path) == []
