"""A run learns, resumes after a kill, refuses other data, and works alone, in two processes and from positions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import box_room
import numpy as np
import pytest
import torch

from reloc_ros.errors import TrainingError
from reloc_ros.training import checkpoint
from reloc_ros.training.config import config_from_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.train import pick_precision, train

ALONE = World(rank=0, size=1, device=torch.device("cpu"))
TINY = {
    "network": {"encoder": "patch_conv_tiny", "stride": 16, "neck_channels": 32, "head_channels": 32},
    "input": {"width": 64, "height": 64},
    "batch_size": 8,
    "precision": "float32",
    "max_minutes": 60.0,
    "validate_every_minutes": 60.0,
}
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return box_room.write_sequence(tmp_path_factory.mktemp("data"), box_room.pinhole(), box_room.trajectory(48))


@pytest.fixture(scope="module")
def trained(room, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "room"
    train([room], out, config_from_dict({**TINY, "epochs": 60}), ALONE)
    return out


def _lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_learns_to_localize_held_out_images(trained):
    error = _lines(trained)[-1]["validation"]
    # Knowing nothing, the best guess is the middle of the loop, 0.5 m away, and some heading, 90 degrees away.
    assert error["median_translation_error_m"] < 0.3
    assert error["median_rotation_error_deg"] < 25


def test_leaves_a_checkpoint_a_log_and_a_picture(trained):
    network, content = checkpoint.load_trained(trained)
    assert content["images"] == {"train": 33, "val": 5}
    assert content["provenance"]["ground_truth"] == ["poses.txt"]
    assert network.scale_m > 0
    assert (trained / "training.png").stat().st_size > 5000
    assert set(content["serving"]["solve"]) >= {"rows", "columns", "angle_std_rad", "range_std_log"}


def test_panoramas_train_through_their_rays(tmp_path):
    data = box_room.write_sequence(tmp_path / "data", box_room.panorama(), box_room.trajectory(24))
    config = config_from_dict({**TINY, "input": {"width": 128, "height": 64}, "epochs": 60})
    train([data], tmp_path / "run", config, ALONE)
    network, content = checkpoint.load_trained(tmp_path / "run")
    assert network.config.wrap
    assert content["serving"]["assumption"]["model"] == "equirectangular"
    assert _lines(tmp_path / "run")[-1]["validation"]["median_translation_error_m"] < 0.3


def test_a_finished_run_is_left_alone_and_another_configuration_refused(room, trained):
    before = (trained / checkpoint.BEST).read_bytes()
    train([room], trained, config_from_dict({**TINY, "epochs": 60}), ALONE)
    assert checkpoint.load(trained / checkpoint.LAST)["step"] == 60 * 33 // 8 + 1
    assert (trained / checkpoint.BEST).read_bytes() == before
    with pytest.raises(TrainingError, match="another configuration"):
        train([room], trained, config_from_dict({**TINY, "epochs": 61}), ALONE)


def test_resuming_gives_the_run_that_was_never_interrupted(room, tmp_path, monkeypatch):
    config = config_from_dict({**TINY, "epochs": 6})
    train([room], tmp_path / "whole", config, ALONE)
    learn, taken = checkpoint.average_into, []

    def killed(*args):
        learn(*args)
        taken.append(1)
        if len(taken) == 12:
            raise KeyboardInterrupt

    validate_always = config_from_dict({**TINY, "epochs": 6, "validate_every_minutes": 1e-6})
    monkeypatch.setattr(checkpoint, "average_into", killed)
    with pytest.raises(KeyboardInterrupt):
        train([room], tmp_path / "torn", validate_always, ALONE)
    assert checkpoint.load(tmp_path / "torn" / checkpoint.LAST)["step"] == 11
    monkeypatch.setattr(checkpoint, "average_into", learn)
    train([room], tmp_path / "torn", validate_always, ALONE)
    whole, torn = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("whole", "torn"))
    assert whole["step"] == torn["step"]
    # The time, which the learning rate does not see here, is all that may differ.
    for key, value in whole["average"].items():
        torch.testing.assert_close(torn["average"][key], value, atol=1e-4, rtol=1e-3, msg=key)


def _command(room, out, config, *launcher):
    path = out.parent / f"{out.name}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    method = ["train", "implicit_geometry", "--data", room, "--out", str(out), "--config", str(path), "--device", "cpu"]
    return [sys.executable, *launcher, "-m", "reloc_ros", *method]


def _environment():
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}


def test_a_killed_process_resumes(room, tmp_path):
    out = tmp_path / "run"
    config = {**TINY, "epochs": 400, "validate_every_minutes": 1e-6}
    process = subprocess.Popen(
        _command(room, out, config), env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 90
    while not (out / checkpoint.LAST).is_file() and process.poll() is None:
        assert time.monotonic() < deadline, f"no checkpoint in {list(out.parent.rglob('*'))}"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    at_kill = checkpoint.load(out / checkpoint.LAST)
    assert 0 < at_kill["step"] < 400 * 33 // 8
    # The same command goes on from there; it ends at once when the time is over.
    resumed = subprocess.run(
        [*_command(room, out, config), "-h"], env=_environment(), check=True, capture_output=True
    )
    assert b"resumed" in resumed.stdout


def test_two_processes_train_one_network(room, tmp_path):
    out = tmp_path / "run"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    done = subprocess.run(
        _command(room, out, {**TINY, "epochs": 8}, *launcher),
        env=_environment(), check=False, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    # Two processes with 8 images each: half the steps of one.
    assert checkpoint.load(out / checkpoint.LAST)["step"] == int(np.ceil(8 * 33 / 16))
    assert len(_lines(out)) == 1
    assert done.stdout.count("next: reloc export") == 1


def test_positions_alone_fine_tune_a_moved_map(trained, tmp_path):
    """The map moves by 20 cm; positions, without any rotation, bring the model after it."""
    poses = box_room.trajectory(48)
    data = box_room.write_sequence(tmp_path / "data", box_room.pinhole(), poses)
    moved = (tmp_path / "data" / "room" / "poses.txt").read_text(encoding="utf-8").splitlines()
    shifted = [line.split() for line in moved]
    for words in shifted:
        words[1] = repr(float(words[1]) + 0.2)
    text = "\n".join(" ".join(words) for words in shifted) + "\n"
    (tmp_path / "data" / "room" / "poses.txt").write_text(text, encoding="utf-8")
    base = {**TINY, "labels": "position", "initial": str(trained), "learning_rate": 3e-4}
    train([data], tmp_path / "before", config_from_dict({**base, "epochs": 1, "learning_rate": 1e-9}), ALONE)
    train([data], tmp_path / "after", config_from_dict({**base, "epochs": 25}), ALONE)
    before, after = (_lines(tmp_path / name)[-1]["validation"] for name in ("before", "after"))
    assert after["median_translation_error_m"] < 0.8 * before["median_translation_error_m"]
    assert after["median_rotation_error_deg"] < before["median_rotation_error_deg"] + 10


def test_bfloat16_is_taken_where_the_processor_has_it(monkeypatch):
    for capabilities, expected in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False}, torch.float32),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda value=capabilities: value, raising=False)
        assert pick_precision("auto", torch.device("cpu")) is expected
    assert pick_precision("float32", torch.device("cpu")) is torch.float32
