"""The losses: zero for the truth, larger the further from it, and blind where they are told to be."""

from __future__ import annotations

import box_room
import numpy as np
import pytest
import torch

from reloc_ros.cameras.camera import ray_grid
from reloc_ros.training.config import LossConfig
from reloc_ros.training.losses import Labels, total_loss

T_TRUE = box_room.pose(0.3, -0.4, 0.2, 1.0)


def _truth(camera):
    rays = ray_grid(camera, 6, 6)
    points = box_room.wall_points(T_TRUE, rays)
    range_m = np.linalg.norm(points - T_TRUE[:3, 3], axis=1)
    labels = Labels(
        rays=torch.from_numpy(rays)[None],
        inside=torch.ones(1, 36, dtype=torch.float64),
        R_map_camera=torch.from_numpy(T_TRUE[:3, :3])[None],
        position_map_m=torch.from_numpy(T_TRUE[:3, 3])[None],
    )
    return (torch.from_numpy(points)[None], torch.from_numpy(range_m)[None], torch.ones(1, 36).double()), labels


def _parts(predicted, labels, **options):
    options = {"scale_m": 2.0, "progress": 0.5, **options}
    return {name: value.item() for name, value in total_loss(predicted, labels, LossConfig(), **options)[1].items()}


@pytest.mark.parametrize("camera", [box_room.pinhole(), box_room.panorama()], ids=["pinhole", "panorama"])
def test_the_truth_costs_almost_nothing_and_each_error_its_own_loss(camera):
    truth, labels = _truth(camera)
    exact = _parts(truth, labels)
    assert set(exact) == {"consistency", "reprojection", "position", "rotation"}
    assert max(exact.values()) < 0.02
    shifted = _parts((truth[0] + 0.5, *truth[1:]), labels)
    assert all(shifted[name] > 3 * exact[name] for name in ("consistency", "reprojection", "position"))
    assert shifted["rotation"] == pytest.approx(exact["rotation"], abs=1e-5)
    stretched = _parts((truth[0], 1.3 * truth[1], truth[2]), labels)
    assert stretched["consistency"] > 3 * exact["consistency"]
    assert stretched["reprojection"] == pytest.approx(exact["reprojection"], rel=1e-6)


def test_points_behind_the_camera_are_pulled_forward():
    truth, labels = _truth(box_room.pinhole())
    behind = (2 * labels.position_map_m[:, None] - truth[0]).requires_grad_()
    loss, _ = total_loss((behind, *truth[1:]), labels, LossConfig(consistency=0), scale_m=2.0, progress=0.0)
    loss.backward()
    assert torch.isfinite(behind.grad).all()
    assert _parts((behind.detach(), *truth[1:]), labels)["reprojection"] > 5 * _parts(truth, labels)["reprojection"]


def test_cells_outside_the_image_do_not_count():
    truth, labels = _truth(box_room.pinhole())
    spoiled = truth[0].clone()
    spoiled[0, :6] += 100.0
    masked = Labels(**{**vars(labels), "inside": (torch.arange(36) >= 6).double()[None]})
    parts = _parts((spoiled, *truth[1:]), masked)
    assert parts["consistency"] < 0.02
    assert parts["reprojection"] < 0.02


def test_pose_losses_wait():
    truth, labels = _truth(box_room.pinhole())
    assert set(_parts(truth, labels, progress=0.01)) == {"consistency", "reprojection"}
