"""What a run will take, the frames it writes, and the pictures of the drive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from box_room import pinhole, pose, write_sequence
from numpy.testing import assert_allclose

from reloc_ros.datasets.images import PosedImage
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.mapping.coverage import coverage_figure
from reloc_ros.mapping.extract import extract_frames
from reloc_ros.mapping.frames import Choice, Drop
from reloc_ros.mapping.plan import Plan, held_out, training_minutes


@pytest.fixture
def images(tmp_path: Path) -> tuple[PosedImage, ...]:
    poses = [pose(0.2 * index, 0.1 * index**2 / 8, 0.3, 0.1 * index) for index in range(8)]
    return read_dataset(write_sequence(tmp_path / "room", pinhole(), poses)).images


def test_more_frames_train_longer_within_limits() -> None:
    minutes = [training_minutes(frames, None) for frames in (20, 300, 750, 100_000)]
    assert minutes == sorted(minutes)
    # A drive of 750 frames is mapped in half an hour, all stages together.
    assert minutes[2] <= 25
    assert minutes[-1] == 60
    assert training_minutes(750, 3.5) == 3.5
    assert training_minutes(750, 500) == minutes[2]


@pytest.mark.parametrize(
    ("frames", "share", "block", "guard"),
    [(750, 0.15, 25, 5), (400, 0.15, 20, 4), (200, 0.2, 13, 3), (60, 0.35, 7, 2), (20, 0.35, 5, 2)],
)
def test_every_verdict_rests_on_several_places(frames: int, share: float, block: int, guard: int) -> None:
    split = held_out(frames)
    assert (split.val_fraction, split.block, split.guard) == (pytest.approx(share), block, guard)


def test_the_plan_adds_up() -> None:
    choice = Choice(kept=tuple(range(400)), dropped={400 + i: Drop.LITTLE_MOTION for i in range(350)}, jumps=(7,))
    plan = Plan(images=750, without_pose=3, width=640, height=480, choice=choice, minutes=15.7)
    assert sum(seconds for _, _, seconds in plan.stages()) < 1800
    text = "\n".join(plan.lines())
    assert "frames: 400 before blur is judged (350 little motion since the last kept frame)" in text
    assert "jumps of the reference: 1" in text
    assert [name for name, _, _ in plan.stages()] == ["select", "extract", "train", "export", "validate", "report"]
    assert 150e6 < plan.disk_bytes < 400e6


def test_extracted_frames_are_a_data_set(images: tuple[PosedImage, ...], tmp_path: Path) -> None:
    extract_frames(images[2:5], tmp_path / "frames")
    back = read_dataset(f"panorama_sequences:{tmp_path / 'frames'}").images
    assert [image.stamp_ns for image in back] == [image.stamp_ns for image in images[2:5]]
    for found, true in zip(back, images[2:5], strict=True):
        assert_allclose(found.T_map_camera, true.T_map_camera, atol=1e-8)
        assert found.camera == true.camera
        # JPEG, but a good one.
        assert np.mean(np.abs(found.frame().image.astype(int) - true.frame().image)) < 3
    assert not (tmp_path / "frames.partial").exists()


def test_coverage_names_what_it_shows(images: tuple[PosedImage, ...], tmp_path: Path) -> None:
    choice = Choice(
        kept=(0, 1, 2, 5), dropped={3: Drop.JUMP, 4: Drop.JUMP, 6: Drop.BLURRED, 7: Drop.RESTING}, jumps=(3,)
    )
    figure = coverage_figure(images, choice, held_out=[2], guard=[1])
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == [
        "learned from (2)",
        "held out for the verdict (1)",
        "left out between the two (1)",
        "dropped: near a jump of the reference (2)",
        "dropped: blurred (1)",
        "jumps of the reference (1)",
    ]
    save_figure(figure, tmp_path / "coverage.png")
