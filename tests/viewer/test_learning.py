"""Learning in the background: progress, an end, a comparison, and no change without consent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.runs.reader import open_run
from bigkingxxl.viewer.server import learn_job
from tests.tiny_onnx import blobs, save_tiny_onnx, tiny_card
from tests.viewer.window import Server, Window


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Two predicted images, the first corrected and done, and a quick learner."""
    monkeypatch.setattr(learn_job, "TRAIN", (str(Path(__file__).parent / "learner.py"),))
    (tmp_path / "photos").mkdir()
    for index in range(2):
        Image.fromarray(blobs(4, seed=index)).save(tmp_path / f"photos/p{index}.png")
    save_tiny_onnx(tmp_path / "tiny.onnx")
    strict = {"default": {"decode": {"flow_error": 4.0}, "select": {"score_threshold": 0.999}}}
    save_tiny_onnx(tmp_path / "better.onnx", card=tiny_card().changed(operating_points=strict))
    with Server(tmp_path / "photos", model=str(tmp_path / "tiny.onnx")) as found:
        found.jobs.begin()
        found.wait(found.get("/api/jobs")["jobs"][0])
        yield found


def review(server: Server) -> Window:
    window = Window(server, server.keys["p0"])
    window.delete(1)
    window.post("done", done={"before": False, "after": True})
    return window


def learn(server: Server, stage: int = 1) -> dict[str, Any]:
    job: dict[str, Any] = server.post("/api/jobs/learn", {"stage": stage, "minutes": 5})
    return job


def test_a_learned_model_is_used_after_acceptance(server: Server, tmp_path: Path) -> None:
    window = review(server)
    job = server.wait(learn(server), ("asking",))
    result = job["result"]
    assert (result["before"], result["after"], result["gain_low"]) == (0.4, 0.6, 0.1)
    assert [each["key"] for each in result["compared"]] == [server.keys["p1"]]
    place = f"/api/jobs/{job['id']}"
    key = server.keys["p1"]
    before = server.raster(f"{place}/before/{key}/labels")
    assert before.max() == 4
    assert server.raster(f"{place}/after/{key}/labels").max() == 0
    assert server.client.get(f"{place}/after/{window.key}/labels").status_code == 422
    assert server.client.get(f"{place}/../{key}/labels").status_code == 404
    assert open_run(tmp_path / "photos/cells")["p1"].summary.cells == 4
    server.post(f"{place}/accept")
    server.wait(server.get("/api/jobs")["jobs"][0])
    counts = {each["name"]: each["cells"] for each in server.get("/api/images")["images"]}
    assert counts == {"p0": 3, "p1": 0}  # nothing changed in the corrected image
    np.testing.assert_array_equal(Window(server, window.key).labels, window.labels)
    start, model = server.get("/api/folder")["models"]
    assert (start["is_current"], model["is_current"], model["after"]) == (False, True, 0.6)
    with Server(tmp_path / "photos") as again:  # the history stays in the folder
        assert [each["id"] for each in again.get("/api/folder")["models"]] == ["start", model["id"]]
        assert Path(again.jobs.history.model).is_file()


def test_after_a_no_all_is_as_it_was(server: Server, tmp_path: Path) -> None:
    review(server)
    job = server.wait(learn(server), ("asking",))
    server.post(f"/api/jobs/{job['id']}/reject")
    assert open_run(tmp_path / "photos/cells")["p1"].summary.cells == 4
    assert len(server.get("/api/folder")["models"]) == 1
    assert server.client.post(f"/api/jobs/{job['id']}/accept").status_code == 422


def test_learning_can_be_stopped_and_resumed(server: Server, tmp_path: Path) -> None:
    review(server)
    (tmp_path / "slow").touch()
    job = learn(server)
    after = 0
    for _ in range(100):
        found = server.get(f"/api/jobs/{job['id']}")
        if found["message"] == "half of it":
            break
        after = server.get(f"/api/events?after={after}&wait=0.2")["newest"]
    assert found["done"] == pytest.approx(0.5, abs=0.03)
    refused = server.client.post("/api/jobs/learn", json={"stage": 1})
    assert refused.status_code == 422
    server.post(f"/api/jobs/{job['id']}/cancel")
    assert server.wait(job, ("cancelled",))["can_resume"]
    resumed = server.wait(server.post(f"/api/jobs/{job['id']}/resume"), ("asking",))
    assert "--resume" in resumed["result"]["changed"]


def test_a_failure_is_its_own_sentence(server: Server, tmp_path: Path) -> None:
    review(server)
    (tmp_path / "broken").touch()
    assert server.wait(learn(server), ("failed",))["error"] == "it cannot be learnt from this"


def test_without_anything_reviewed_or_a_model_it_does_not_begin(
    server: Server, tmp_path: Path
) -> None:
    assert server.client.post("/api/jobs/learn", json={"stage": 1}).status_code == 422
    review(server)
    (tmp_path / "tiny.onnx").unlink()
    answer = server.client.post("/api/jobs/learn", json={"stage": 1})
    assert answer.status_code == 422
    assert "--model" in answer.json()["error"]


def test_without_torch_the_second_stage_explains_what_to_install(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn_job, "find_spec", lambda name: None)
    review(server)
    answer = server.client.post("/api/jobs/learn", json={"stage": 2})
    assert answer.status_code == 422
    assert "[train]" in answer.json()["error"]
    assert server.get("/api/folder")["learn"]["install"] == answer.json()["error"]
    assert json.dumps(server.wait(learn(server), ("asking",))["result"])
