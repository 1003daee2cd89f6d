"""Errors of trajectories: evo's published results, evo itself on random trajectories, and literals."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from reloc_ros.errors import ConfigError, DatasetError, DegenerateGeometryError
from reloc_ros.evaluation.trajectory import ALIGNMENTS, Delta, associate, compare, statistics
from reloc_ros.evaluation.trajectory_files import Trajectory, read_kitti, read_tum
from reloc_ros.geometry import rotation, se3

TEN_METRES = Delta(size=10.0, unit="m")
EACH_FRAME = Delta(size=1.0, unit="f")

seeds = st.integers(0, 2**32 - 1)


def random_pair(seed: int, count: int) -> tuple[Trajectory, Trajectory]:
    """A winding reference, and an estimate with noise in another frame and scale; stamps on a grid of 5 ms."""
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(scale=(1.0, 0.6, 0.3), size=(count, 3)), axis=0)
    reference = se3.from_rotation_translation(rotation.exp(rng.normal(size=(count, 3))), positions)
    noise = se3.from_rotation_translation(
        rotation.exp(rng.normal(scale=0.3, size=(count, 3))), rng.normal(scale=0.2, size=(count, 3))
    )
    estimate = se3.from_rotation_translation(rotation.exp(rng.normal(size=3)), rng.normal(size=3)) @ reference @ noise
    estimate[:, :3, 3] *= rng.uniform(0.3, 3.0)
    stamps_s = np.arange(count) * 0.1
    return Trajectory(poses=reference, stamps_s=stamps_s), Trajectory(poses=estimate, stamps_s=stamps_s)


def path(*positions_x: float) -> Trajectory:
    poses = np.tile(np.eye(4), (len(positions_x), 1, 1))
    poses[:, 0, 3] = positions_x
    return Trajectory(poses=poses)


def in_evo(trajectory: Trajectory):
    evo = pytest.importorskip("evo.core.trajectory", reason="evo is not installed; make setup-test installs it")
    return evo.PoseTrajectory3D(poses_se3=list(trajectory.poses), timestamps=trajectory.stamps_s)


@pytest.mark.parametrize(
    ("name", "rmse", "median"),
    [("ORB", 1.3034497145650266, 1.065624769555848), ("SPTAM", 3.738487907582613, 3.6425846417432637)],
)
def test_kitti_ape_is_the_published_one(shared_data: Path, name: str, rmse: float, median: float) -> None:
    folder = shared_data / "trajectories"
    found = compare(
        read_kitti(folder / "KITTI_00_gt.txt"),
        read_kitti(folder / f"KITTI_00_{name}.txt"),
        alignment="se3",
        delta=TEN_METRES,
    )
    errors, figures = published(folder / f"{name.lower()}_ape.zip")
    assert_allclose(found.ape.translation_m, errors, rtol=0, atol=1e-9)
    ours = statistics(found.ape.translation_m)
    assert ours == pytest.approx(figures, rel=0, abs=1e-9)
    assert (ours["rmse"], ours["median"]) == pytest.approx((rmse, median), rel=0, abs=1e-9)


@pytest.mark.parametrize(("name", "rmse"), [("ORB", 0.22626134329310163), ("SPTAM", 0.27607109043606004)])
@pytest.mark.parametrize("alignment", ["none", "se3"])
def test_kitti_rpe_is_the_published_one_whatever_the_frame(
    shared_data: Path, name: str, rmse: float, alignment: str
) -> None:
    folder = shared_data / "trajectories"
    found = compare(
        read_kitti(folder / "KITTI_00_gt.txt"),
        read_kitti(folder / f"KITTI_00_{name}.txt"),
        alignment=alignment,
        delta=TEN_METRES,
    )
    errors, figures = published(folder / f"{name.lower()}_rpe.zip")
    assert_allclose(found.rpe.translation_m, errors, rtol=0, atol=1e-9)
    ours = statistics(found.rpe.translation_m)
    assert ours == pytest.approx(figures, rel=0, abs=1e-9)
    assert ours["rmse"] == pytest.approx(rmse, rel=0, abs=1e-9)


def published(path: Path) -> tuple[np.ndarray, dict[str, float]]:
    with zipfile.ZipFile(path) as archive:
        return np.load(io.BytesIO(archive.read("error_array.npz"))), json.loads(archive.read("stats.json"))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize(
    "delta",
    [EACH_FRAME, Delta(size=3.0, unit="f"), Delta(size=2.5, unit="m", from_first_pose=True)],
    ids=["1f", "3f", "2.5m"],
)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=st.integers(20, 60))
def test_random_trajectories_have_the_errors_of_evo(alignment: str, delta: Delta, seed: int, count: int) -> None:
    reference, estimate = random_pair(seed, count)
    their_reference, theirs = in_evo(reference), in_evo(estimate)
    from evo.core.metrics import APE, RPE, PoseRelation, Unit

    if alignment != "none":
        theirs.align(their_reference, correct_scale=alignment == "sim3")
    found = compare(reference, estimate, alignment=alignment, delta=delta)
    unit = {"f": Unit.frames, "m": Unit.meters}[delta.unit]
    for relation, part in (
        (PoseRelation.translation_part, "translation_m"),
        (PoseRelation.rotation_angle_deg, "rotation_deg"),
    ):
        for metric, errors in ((APE(relation), found.ape), (RPE(relation, delta.size, unit), found.rpe)):
            metric.process_data((their_reference, theirs))
            assert_allclose(getattr(errors, part), metric.error, rtol=0, atol=1e-9)
            assert statistics(getattr(errors, part)) == pytest.approx(metric.get_all_statistics(), rel=1e-12, abs=1e-9)


def test_tum_figures_are_those_of_evo(shared_data: Path) -> None:
    reference = read_tum(shared_data / "trajectories" / "freiburg1_xyz-groundtruth.txt")
    estimate = read_tum(shared_data / "trajectories" / "freiburg1_xyz-rgbdslam.txt")
    their_reference, theirs = in_evo(reference), in_evo(estimate)
    from evo.core.metrics import APE, PoseRelation
    from evo.core.sync import associate_trajectories

    their_reference, theirs = associate_trajectories(their_reference, theirs)
    theirs.align(their_reference, correct_scale=True)
    metric = APE(PoseRelation.translation_part)
    metric.process_data((their_reference, theirs))
    found = compare(reference, estimate, alignment="sim3", delta=EACH_FRAME)
    assert len(metric.error) == 785
    assert_allclose(found.ape.translation_m, metric.error, rtol=0, atol=1e-9)


# Stamps on a grid of 5 ms meet the limit of 10 ms exactly, where rounding decides.
stamp_lists = st.lists(st.integers(0, 60), min_size=1, max_size=30).map(lambda ticks: np.sort(ticks) * 0.005 + 1.3e9)


@settings(deadline=None)
@given(stamp_lists, stamp_lists)
def test_poses_find_the_same_partners_as_in_evo(reference_s: np.ndarray, estimate_s: np.ndarray) -> None:
    reference, estimate = (
        Trajectory(poses=path(*range(len(stamps_s))).poses, stamps_s=stamps_s) for stamps_s in (reference_s, estimate_s)
    )
    their_reference, theirs = in_evo(reference), in_evo(estimate)
    from evo.core.sync import SyncException, associate_trajectories

    try:
        their_reference, theirs = associate_trajectories(their_reference, theirs)
    except SyncException:
        with pytest.raises(DatasetError, match=r"within 0\.01 s"):
            associate(reference, estimate)
        return
    reference, estimate = associate(reference, estimate)
    assert_allclose(reference.poses[:, 0, 3], their_reference.positions_xyz[:, 0])
    assert_allclose(estimate.poses[:, 0, 3], theirs.positions_xyz[:, 0])


def test_association_takes_the_nearest_and_leaves_out_the_lonely() -> None:
    reference = Trajectory(poses=path(0, 1, 2, 3).poses, stamps_s=np.array([1.000, 1.006, 2.000, 3.000]))
    estimate = Trajectory(poses=path(10, 11, 12).poses, stamps_s=np.array([1.004, 1.985, 3.009]))
    reference, estimate = associate(reference, estimate)
    assert reference.poses[:, 0, 3].tolist() == [1.0, 3.0]
    assert estimate.poses[:, 0, 3].tolist() == [10.0, 12.0]
    assert estimate.stamps_s is not None
    assert estimate.stamps_s.tolist() == [1.004, 3.009]


def test_errors_of_a_literal_path() -> None:
    reference = path(0.0, 1.0, 2.0, 4.0)
    estimate = Trajectory(poses=path(0.0, 1.5, 2.0, 5.0).poses)
    estimate.poses[3, :3, :3] = rotation.exp([0.0, 0.0, np.radians(30.0)])
    found = compare(reference, estimate, alignment="none", delta=EACH_FRAME)
    assert_allclose(found.ape.translation_m, [0.0, 0.5, 0.0, 1.0])
    assert_allclose(found.ape.rotation_deg, [0.0, 0.0, 0.0, 30.0], atol=1e-12)
    assert_allclose(found.rpe.translation_m, [0.5, 0.5, 1.0])
    assert_allclose(found.rpe.rotation_deg, [0.0, 0.0, 30.0], atol=1e-12)
    assert found.rpe.index.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("from_first_pose", "ends"), [(True, [2, 4, 5]), (False, [4, 5])])
def test_pairs_by_distance_follow_the_way_of_the_estimate(from_first_pose: bool, ends: list[int]) -> None:
    estimate = path(0.0, 1.0, 2.0, 1.0, 0.0, 5.0, 5.5)
    delta = Delta(size=2.0, unit="m", from_first_pose=from_first_pose)
    found = compare(path(*[0.0] * 7), estimate, alignment="none", delta=delta)
    assert found.rpe.index.tolist() == ends


def test_statistics_literals() -> None:
    assert statistics(np.array([3.0, 1.0, 4.0, 0.0])) == pytest.approx(
        {"rmse": 6.5**0.5, "mean": 2.0, "median": 2.0, "std": 2.5**0.5, "min": 0.0, "max": 4.0, "sse": 26.0}
    )


def test_sim3_undoes_frame_and_scale() -> None:
    reference, _ = random_pair(5, 30)
    frame = se3.from_rotation_translation(rotation.exp([0.3, -1.0, 2.0]), [5.0, -6.0, 7.0])
    moved = frame @ reference.poses
    moved[:, :3, 3] *= 0.25
    estimate = Trajectory(poses=moved, stamps_s=reference.stamps_s)
    found = compare(reference, estimate, alignment="sim3", delta=EACH_FRAME)
    assert found.scale == pytest.approx(4.0)
    assert_allclose(found.T_reference_estimate, se3.inverse(frame), atol=1e-9)
    assert max(found.ape.translation_m.max(), found.rpe.translation_m.max()) < 1e-9
    assert compare(reference, estimate, alignment="se3", delta=EACH_FRAME).ape.translation_m.max() > 1.0


@pytest.mark.parametrize("alignment", ["se3", "sim3"])
@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (path(0.0, 1.0), "2 common poses, alignment .* at least 3"),
        (path(0.0, 1.0, 2.0, 4.0), "do not determine"),
        (path(1.0, 1.0, 1.0), "do not determine"),
    ],
)
def test_an_arbitrary_alignment_is_refused(alignment: str, trajectory: Trajectory, message: str) -> None:
    with pytest.raises(DegenerateGeometryError, match=message):
        compare(trajectory, trajectory, alignment=alignment, delta=EACH_FRAME)


def test_trajectories_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DatasetError, match="reference has 3 poses and estimate 2"):
        compare(path(0, 1, 2), path(0, 1), alignment="none", delta=EACH_FRAME)
    early, late = (Trajectory(poses=path(0, 1).poses, stamps_s=np.array([0.0, 1.0]) + start) for start in (0.0, 9.0))
    with pytest.raises(DatasetError, match=r"reference 0\.000000 to 1\.000000 s, estimate 9\.000000 to 10\.000000 s"):
        compare(early, late, alignment="none", delta=EACH_FRAME)


def test_settings_that_fit_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no two poses are 10 m apart.* 3 common poses over 2 m"):
        compare(path(0, 1, 2), path(0, 1, 2), alignment="none", delta=TEN_METRES)
    with pytest.raises(ConfigError, match="alignment is 'best'"):
        compare(path(0, 1, 2), path(0, 1, 2), alignment="best", delta=EACH_FRAME)


@pytest.mark.parametrize(
    ("size", "unit", "message"),
    [(0.0, "m", "above 0"), (-1.0, "f", "above 0"), (np.nan, "m", "above 0"), (1.5, "f", "whole"), (1.0, "s", "unit")],
)
def test_impossible_deltas_are_refused(size: float, unit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Delta(size=size, unit=unit)
