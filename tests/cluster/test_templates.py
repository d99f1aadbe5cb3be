"""The templates: a real SLURM of one node, Snakemake, and the runnable parts of Nextflow's."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli import main
from bigkingxxl.cluster.templates import TEMPLATES, read_template
from bigkingxxl.errors import InputError
from tests.cluster import slurm
from tests.refusals import refused
from tests.threshold import results
from tests.tiny_onnx import blobs, save_tiny_onnx

ROOT = Path(__file__).parents[2]
COUNT = 40


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """An environment in which `bigkingxxl` is this checkout's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **(more or {}), "PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images whose name contains a space, beside a model."""
    folder = tmp_path / "my images"
    folder.mkdir()
    for index in range(COUNT):
        Image.fromarray(blobs(index % 12, seed=index)).save(folder / f"i{index:02d}.png")
    save_tiny_onnx(tmp_path / "tiny.onnx")
    return folder


def alone(images: Path, *options: str) -> dict[str, bytes]:
    """The results of one process."""
    out = images.parent / "alone"
    command = ["predict", str(images), "--out", str(out), "--quiet", *options]
    done = CliRunner().invoke(main.app, command)
    assert done.exit_code == 0, done.output
    return results(out)


def written(out: Path) -> dict[str, bytes]:
    """Return the results without the logs of jobs."""
    return {name: content for name, content in results(out).items()
            if not name.endswith(".log") and not name.startswith(".")}  # fmt: skip


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(not slurm.is_there(), reason="needs slurm-wlm and munge, and to be root")
def test_a_requeued_job_of_an_array_is_resumed(images: Path, tmp_path: Path) -> None:
    options = ["--model", str(tmp_path / "tiny.onnx"), "--format", "labels,measurements,summary"]
    expected = alone(images, *options)
    script, out = tmp_path / "predict.sh", tmp_path / "my cells"
    script.write_text(read_template("slurm"))
    with slurm.running(tmp_path / "slurm") as extra:
        own = environment(extra) | {"SHARDS": "3", "TIME": "10"}
        told = subprocess.run(
            ["bash", str(script), str(images), str(out), *options], env=own, text=True,
            capture_output=True, check=True, cwd=tmp_path,
        ).stdout  # fmt: skip
        array, tables = (part.split()[-1] for part in told.strip().split(","))
        # As SLURM does when a job's time is nearly over.
        records = out / "records" / "summary"
        slurm.wait_for(lambda: records.is_dir() and any(records.iterdir()))
        slurm.told(["scancel", "--signal=USR1", f"{array}_1"], own)
        slurm.wait_for(lambda: not slurm.told(["squeue", "-h", "-j", f"{array},{tables}"], own),
                       seconds=600)  # fmt: skip
        state = slurm.told(["scontrol", "show", "job", tables], own)
    assert "ExitCode=0:0" in state, state
    logs = "".join(path.read_text() for path in out.glob("slurm-*.log"))
    assert "exit code 75" in logs, logs
    assert written(out) == expected


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(shutil.which("snakemake") is None, reason="needs snakemake")
def test_a_snakemake_workflow(images: Path, tmp_path: Path) -> None:
    options = ["--model", str(tmp_path / "tiny.onnx")]
    expected = alone(images, *options, "--format", "labels,overlay,summary")
    script, out = tmp_path / "workflow.smk", tmp_path / "my cells"
    script.write_text(read_template("snakemake"))
    config = [f"images={images}", f"out={out}", "shards=2", f"options={' '.join(options)}"]
    command = ["snakemake", "-s", str(script), "--cores", "2", "--config", *config]
    done = subprocess.run(command, env=environment(), cwd=tmp_path, text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert written(out) == expected


# ---- Nextflow, which no package registry has -----------------------------------------------------


def java_home() -> str:
    """The path of Java: Debian's groovy looks for a version that may not be installed."""
    return str(Path(str(shutil.which("java"))).resolve().parents[1])


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(shutil.which("groovy") is None, reason="needs groovy")
def test_the_nextflow_workflow_in_a_stand_in_for_nextflow(images: Path, tmp_path: Path) -> None:
    """All of the template's own Groovy and shell code runs; Nextflow itself does not."""
    (images / "broken.png").write_bytes(b"no image")
    out = tmp_path / "my cells"
    given = [f"images={images}", f"out={out}", "shards=2",
             f"options=--model {tmp_path / 'tiny.onnx'} --format labels,summary"]  # fmt: skip
    workflow = tmp_path / "workflow.nf"
    workflow.write_text(read_template("nextflow"))
    done = subprocess.run(
        ["groovy", str(ROOT / "tests" / "cluster" / "nextflow.groovy"), str(workflow), *given],
        env=environment({"JAVA_HOME": java_home()}), cwd=tmp_path, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    # A failed image does not end the workflow.
    assert done.returncode == 0, done.stderr
    with (out / "summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == COUNT + 1
    assert [row["image"] for row in rows if row["failure"]] == ["broken"]


SCRIPT = re.compile(r'process (\w+) \{.*?"""(.*?)"""', re.DOTALL)
PLACEHOLDER = re.compile(r"(?<!\\)\$\{(.*?)\}")


def nextflow_scripts(values: dict[str, str]) -> dict[str, str]:
    """The workflow's shell scripts by process, as Groovy expands its strings."""
    found = dict(SCRIPT.findall(read_template("nextflow")))
    filled = {name: PLACEHOLDER.sub(lambda match: values[match[1]], text)
              for name, text in found.items()}  # fmt: skip
    return {name: text.replace("\\\n", "").replace("\\$", "$") for name, text in filled.items()}


def test_scripts_of_the_nextflow_workflow_are_shell() -> None:
    values = {
        "task.cpus": "1", "params.options": "--diameter 30", "params.shards": "2", "shard": "1",
        "file(params.images).toAbsolutePath()": "/my images",
        "file(params.out).toAbsolutePath()": "/my cells",
    }  # fmt: skip
    scripts = nextflow_scripts(values)
    assert list(scripts) == ["predict", "tables"]
    for text in scripts.values():
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        assert "'/my cells'" in text


def test_templates_are_printed() -> None:
    listed = CliRunner().invoke(main.app, ["template"])
    assert listed.exit_code == 0
    for name in TEMPLATES:
        assert name in listed.stdout
        told = CliRunner().invoke(main.app, ["template", name])
        assert told.exit_code == 0
        assert told.stdout == read_template(name)
        assert "bigkingxxl" in told.stdout
    with refused(InputError, "'snakemake'", key="template", found="snakemak", expected="snakemake"):
        read_template("snakemak")


@pytest.mark.parametrize("name", ["slurm", "slurm-train"])
def test_shell_templates_are_shell(name: str) -> None:
    subprocess.run(["bash", "-n"], input=read_template(name), text=True, check=True)
