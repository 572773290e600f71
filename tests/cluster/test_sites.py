"""The jobs that a queue is asked for; there is no queue here."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from napari_unet import cli, workflows
from napari_unet.cluster.sites import Site, open_site, read_site
from napari_unet.core.errors import ClusterError, SpecError

PROFILE = """
queue_system = "slurm"
jobs = 2
cores = 8
processes = 2
gpus = 2
memory = "32GB"
queue = "gpu"
walltime = "04:00:00"
directives = ["--gres=gpu:2"]
before = ["module load cuda"]
python = "/shared/env/bin/python"
"""


def script(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the job script, with nothing submitted."""
    import dask_jobqueue

    asked: list[int] = []
    monkeypatch.setattr(dask_jobqueue.core.JobQueueCluster, "scale", lambda self, jobs: asked.append(jobs))
    with open_site(site) as cluster:
        assert asked == [site.jobs]
        return str(cluster.job_script())


def test_slurm_jobs(tmp_path, monkeypatch):
    (tmp_path / "profile.toml").write_text(PROFILE)
    text = script(read_site(tmp_path / "profile.toml"), monkeypatch)
    lines = text.splitlines()
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=8", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:2"):
        assert line in lines
    assert lines.index("export OMP_NUM_THREADS=4") < lines.index("module load cuda") < len(lines) - 1
    command = lines[-1]
    assert command.startswith("/shared/env/bin/python -m distributed.cli.dask_worker tcp://")
    assert "--nworkers 2" in command
    assert command.endswith("--nthreads 1 --resources GPU=1")


def test_pbs_jobs(monkeypatch):
    site = Site(queue_system="pbs", cores=4, memory="16GB", walltime="01:00:00", directives=("-m n",))
    text = script(site, monkeypatch)
    assert "#PBS -l walltime=01:00:00" in text
    assert "#PBS -m n" in text
    assert "GPU" not in text


def test_what_a_profile_cannot_say(tmp_path):
    file = tmp_path / "profile.toml"
    with pytest.raises(ClusterError, match="cannot be read"):
        read_site(file)
    file.write_text("jobs = ")
    with pytest.raises(ClusterError, match="no TOML"):
        read_site(file)
    for text, words in (("job = 1", "job"), ("jobs = 0", "jobs"), ('queue_system = "x"', "queue_system")):
        file.write_text(text)
        with pytest.raises(SpecError, match=words):
            read_site(file)
    with pytest.raises(SpecError, match="as many processes"):
        Site(gpus=2).options()


def test_one_kind_of_cluster_at_a_time(field, tmp_path):
    with (
        pytest.raises(ClusterError, match="--scheduler and --local-workers are different"),
        workflows.open_cluster("tcp://127.0.0.1:1", 2),
    ):
        pass
    with workflows.open_cluster() as client:
        assert client is None
    words = ["segment", str(field), "-o", str(tmp_path / "a.ome.zarr"), "--slurm", str(tmp_path / "none.toml")]
    found = CliRunner().invoke(cli.commands.app, words)
    assert found.exit_code == 2
    assert "cannot be read" in found.output
