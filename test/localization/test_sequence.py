"""The streaming localizer with networks that know the truth."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from fake_sequences import (
    SECOND_NS,
    START_NS,
    STD_M,
    TruthEncoder,
    TruthStep,
    drive,
    panorama,
    sequence_manifest,
    truth_localizer,
)

from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.cameras.rig import RigCamera
from reloc_ros.errors import BundleError
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.sequence import SequenceEstimate, SequenceLocalizer
from reloc_ros.localization.sequence_network import SequenceNetwork
from reloc_ros.localization.sequence_tracker import SequenceLimits
from reloc_ros.types import Array, Frame, Reason, Rejected

POSES = drive(240)
STEP_NS = SECOND_NS // 5


def run(localizer: SequenceLocalizer, numbers: range | list[int], odometry: list[Array] | None = None) -> list[object]:
    """Localize frames; the stamp of each follows from its number."""
    return [
        localizer.localize(panorama(n, START_NS + n * STEP_NS), None if odometry is None else odometry[n])
        for n in numbers
    ]


def accepted(answer: object) -> SequenceEstimate:
    assert isinstance(answer, SequenceEstimate), answer
    return answer


def true_pose(number: int, first: int = 0) -> Array:
    return se3.inverse(POSES[first]) @ POSES[number]


def test_the_first_frame_is_the_origin_and_all_others_are_relative_to_it() -> None:
    localizer, _, _ = truth_localizer(POSES)
    for number, answer in zip(range(7, 60), run(localizer, range(7, 60)), strict=True):
        estimate = accepted(answer)
        np.testing.assert_allclose(estimate.T_map_camera, true_pose(number, 7), atol=1e-5)
        assert estimate.map_frame == "spr_origin"
        assert estimate.stamp_ns == START_NS + number * STEP_NS
    np.testing.assert_allclose(accepted(run(truth_localizer(POSES)[0], [9])[0]).T_map_camera, np.eye(4), atol=1e-6)


def test_only_frames_that_moved_feed_the_state_but_each_gets_a_pose_for_one_step() -> None:
    localizer, encoder, step = truth_localizer(POSES)
    answers = [accepted(answer) for answer in run(localizer, range(13))]
    # 0.1 m apart and 0.25 m asked for: each third frame.
    assert [answer.is_keyframe for answer in answers] == [n % 3 == 0 for n in range(13)]
    assert encoder.runs == step.runs == 13
    assert localizer.state is not None
    assert localizer.state.keyframes == 5
    assert localizer.state.arrays["fed"].tolist() == [5.0]


def test_turning_on_the_spot_makes_keyframes_too() -> None:
    turning = [
        POSES[0] @ se3.from_rotation_translation(rotation.exp([0.0, 0.16 * n, 0.0]), np.zeros(3)) for n in range(9)
    ]
    localizer, _, _ = truth_localizer(turning)
    assert [accepted(answer).is_keyframe for answer in run(localizer, range(9))] == [n % 2 == 0 for n in range(9)]


def test_odometry_decides_on_keyframes_where_there_is_any() -> None:
    standing = [np.eye(4)] * 30
    localizer, _, _ = truth_localizer(POSES)
    assert sum(accepted(answer).is_keyframe for answer in run(localizer, range(12), standing)) == 1


def test_the_frame_rate_does_not_change_the_answer() -> None:
    """The network errs by 2 cm with each frame that feeds its state: fed at 30 Hz, it would be off six times as far."""
    duration_s, speed_m_s, ends = 12, 0.5, {}
    for rate_hz in (5, 30):
        stamps_s = np.arange(0, duration_s * rate_hz + 1) / rate_hz
        # Numbers are grey values, too few for 30 Hz: the positions are those of the nearest hundredth of the way.
        T_step = se3.from_rotation_translation(rotation.exp([0.0, 0.015, 0.0]), [0.0, 0.0, speed_m_s / 20.0])
        poses = [POSES[0]]
        for _ in range(duration_s * 20):
            poses.append(poses[-1] @ T_step)
        encoder, step = TruthEncoder(), TruthStep(poses, drift_m=0.02)
        localizer = SequenceLocalizer(sequence_manifest(), encoder, step)
        for stamp_s in stamps_s:
            answer = accepted(localizer.localize(panorama(round(stamp_s * 20), START_NS + round(stamp_s * SECOND_NS))))
            if stamp_s == round(stamp_s):
                ends.setdefault(round(stamp_s), []).append(answer)
    for slow, fast in ends.values():
        # One keyframe more or less.
        np.testing.assert_allclose(fast.T_map_camera, slow.T_map_camera, atol=0.11)
    slow, fast = ends[duration_s]
    assert abs(fast.T_map_camera[0, 3] - slow.T_map_camera[0, 3]) < 0.25 * abs(0.02 * 24)


def test_covariance_grows_with_the_way_and_never_shrinks() -> None:
    localizer, _, step = truth_localizer(POSES)
    step.std_m = {50: 0.9, 51: 0.001}
    answers = [accepted(answer) for answer in run(localizer, range(80))]
    stds_m = np.array([np.sqrt(answer.covariance[0, 0]) for answer in answers])
    assert np.all(np.diff(stds_m) >= -1e-12)
    assert stds_m[0] == pytest.approx(STD_M, rel=1e-4)
    assert stds_m[49] < 0.5
    assert stds_m[51] == pytest.approx(0.9, rel=1e-4)


def test_motions_from_keyframe_to_keyframe_are_chained_and_their_doubt_is_that_of_the_way() -> None:
    localizer, _, step = truth_localizer(POSES, trained_distance_m=3.0)
    step.drift_m = 0.05
    answers = [accepted(answer) for answer in run(localizer, range(60))]
    # What the heads say of the first frame drifts here; what they say of the last keyframe does not.
    np.testing.assert_allclose(answers[59].T_first_chained, true_pose(59), atol=1e-4)
    assert np.linalg.norm(answers[59].T_map_camera[:3, 3] - true_pose(59)[:3, 3]) > 0.1
    walked = [answer.drift.walked_m2 for answer in answers]
    assert np.all(np.diff(walked) > 0.0)
    # 0.1 m each, at 0.15 m per root of a metre, and a second is 0.01 m.
    assert walked[59] == pytest.approx(0.15**2 * 5.9 + 0.01**2 * 11.8, rel=0.01)
    assert answers[59].drift.walked_since(answers[20].drift)[0, 0] == pytest.approx(walked[59] - walked[20])


def test_a_pose_beyond_the_gate_is_withheld_and_its_doubt_forgotten() -> None:
    localizer, _, step = truth_localizer(POSES)
    step.std_m = {20: 1.5}
    answers = run(localizer, range(30))
    assert isinstance(answers[20], Rejected)
    assert answers[20].reason is Reason.TOO_UNCERTAIN
    assert np.sqrt(accepted(answers[21]).covariance[0, 0]) < 0.5
    np.testing.assert_allclose(accepted(answers[29]).T_map_camera, true_pose(29), atol=1e-5)


def test_beyond_the_trained_distance_there_is_a_new_origin_with_all_the_doubt_so_far() -> None:
    localizer, _, _ = truth_localizer(POSES, trained_distance_m=3.0)
    answers = [accepted(answer) for answer in run(localizer, range(100))]
    for number, answer in enumerate(answers):
        np.testing.assert_allclose(answer.T_map_camera, true_pose(number), atol=1e-4)
    stds_m = np.array([np.sqrt(answer.covariance[0, 0]) for answer in answers])
    assert np.all(np.diff(stds_m) > -1e-3)
    # Three origins were left with 0.22 m each, and with a rotation of 0.044 rad about which the rest of 9.9 m swings.
    assert np.sqrt(3) * 0.22 < stds_m[99] < np.hypot(2 * 0.22, np.sqrt(3) * 0.044 * 9.9)
    assert answers[99].note.startswith("new origin after 3.")
    assert answers[0].chain == answers[99].chain
    assert localizer.state is not None
    assert localizer.state.keyframes < 12


def test_more_frames_than_trained_make_a_new_origin_too() -> None:
    localizer, _, _ = truth_localizer(POSES, trained_frames=4)
    run(localizer, range(40))
    assert localizer.state is not None
    assert localizer.state.keyframes < 4
    np.testing.assert_allclose(accepted(run(localizer, [40])[0]).T_map_camera, true_pose(40), atol=1e-4)


def test_repeated_and_late_stamps_are_refused_by_name_and_change_nothing() -> None:
    localizer, _, step = truth_localizer(POSES)
    run(localizer, range(10))
    before, runs = localizer.state, step.runs
    for number in (9, 7):
        answer = run(localizer, [number])[0]
        assert isinstance(answer, Rejected)
        assert answer.reason is Reason.OUT_OF_ORDER
    assert localizer.state is before
    assert step.runs == runs


def test_a_backward_jump_of_the_clock_begins_another_sequence() -> None:
    localizer, _, _ = truth_localizer(POSES)
    chain = accepted(run(localizer, range(20, 40))[-1]).chain
    anew = accepted(run(localizer, [3])[0])
    assert anew.chain == chain + 1
    assert "stamps went back by 7.2" in anew.note
    np.testing.assert_allclose(anew.T_map_camera, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(accepted(run(localizer, [5])[0]).T_map_camera, true_pose(5, 3), atol=1e-5)


def test_reset_makes_the_next_frame_the_first() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(10))
    localizer.reset("asked for")
    answer = accepted(run(localizer, [10])[0])
    assert answer.note == "asked for"
    np.testing.assert_allclose(answer.T_map_camera, np.eye(4), atol=1e-6)


def test_a_gap_without_odometry_ends_the_sequence() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(10))
    answer = accepted(run(localizer, [21])[0])
    assert "no frame for 2.4 s (limit 2 s)" in answer.note
    np.testing.assert_allclose(answer.T_map_camera, np.eye(4), atol=1e-6)


def test_a_motion_too_large_to_compare_ends_the_sequence() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(10))
    stamp_ns = START_NS + 10 * STEP_NS
    answer = accepted(localizer.localize(panorama(30, stamp_ns)))
    assert "since the last keyframe, limits 1.50 m" in answer.note
    np.testing.assert_allclose(answer.T_map_camera, np.eye(4), atol=1e-6)


def test_odometry_bridges_what_the_network_cannot_compare_and_doubt_grows() -> None:
    odometry = [se3.inverse(POSES[0]) @ pose for pose in POSES]
    localizer, _, _ = truth_localizer(POSES)
    before = accepted(run(localizer, range(10), odometry)[-1])
    after = accepted(run(localizer, [60], odometry)[0])
    assert after.chain == before.chain
    assert "tied by odometry" in after.note
    np.testing.assert_allclose(after.T_map_camera, true_pose(60), atol=1e-4)
    # The way that odometry knows swings about the rotation that was known before it.
    swung_m2 = before.covariance[3, 3] * np.linalg.norm(true_pose(60)[:3, 3] - true_pose(9)[:3, 3]) ** 2
    assert after.covariance[0, 0] > before.covariance[0, 0] + swung_m2
    assert after.covariance[3, 3] > before.covariance[3, 3]
    np.testing.assert_allclose(accepted(run(localizer, [61], odometry)[0]).T_map_camera, true_pose(61), atol=1e-4)


def test_after_a_break_it_goes_on_from_the_checkpoint_when_the_camera_is_there_again() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(13))
    localizer.checkpoint()
    run(localizer, range(13, 40))
    stamp_ns = START_NS + 80 * STEP_NS
    answer = accepted(localizer.localize(panorama(14, stamp_ns)))
    assert "went on from the state of" in answer.note
    np.testing.assert_allclose(answer.T_map_camera, true_pose(14), atol=1e-5)


def test_a_place_that_looks_otherwise_is_not_that_of_the_checkpoint_whatever_the_network_says() -> None:
    localizer, _, step = truth_localizer(POSES)
    run(localizer, range(13))
    localizer.checkpoint()
    run(localizer, range(13, 40))
    answer = step.run

    def near(inputs: dict[str, object]) -> dict[str, object]:
        return {**answer(inputs), "inter_translation_m": np.full((1, 3), 0.1), "inter_rotation": np.eye(3)[np.newaxis]}

    step.run = near  # type: ignore[method-assign, assignment]
    found = accepted(localizer.localize(panorama(18, START_NS + 80 * STEP_NS)))
    assert "first frame: no frame for" in found.note
    np.testing.assert_allclose(found.T_map_camera, np.eye(4), atol=1e-6)


def test_a_saved_sequence_goes_on_in_another_localizer() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(13))
    assert localizer.state is not None
    other, _, _ = truth_localizer(POSES)
    other.restore(localizer.state.save())
    np.testing.assert_allclose(accepted(run(other, [14])[0]).T_map_camera, true_pose(14), atol=1e-5)


def test_a_fault_of_the_network_costs_one_frame() -> None:
    localizer, _, step = truth_localizer(POSES)
    run(localizer, range(5))
    step.fail = True
    answer = run(localizer, [5])[0]
    assert isinstance(answer, Rejected)
    assert (answer.reason, "planted" in answer.detail) == (Reason.SOLVE_FAILED, True)
    step.fail = False
    np.testing.assert_allclose(accepted(run(localizer, [6])[0]).T_map_camera, true_pose(6), atol=1e-5)


def test_an_image_that_shows_nothing_is_refused() -> None:
    localizer, _, _ = truth_localizer(POSES)
    run(localizer, range(5))
    dark = panorama(5, START_NS + 5 * STEP_NS)
    answer = localizer.localize(Frame(image=np.full_like(dark.image, 2), camera=dark.camera, stamp_ns=dark.stamp_ns))
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.DEGENERATE


def test_a_pinhole_camera_is_painted_onto_the_canvas() -> None:
    camera = PinholeCamera(40, 30, np.array([[30.0, 0.0, 19.5], [0.0, 30.0, 14.5], [0.0, 0.0, 1.0]]))
    localizer, _, _ = truth_localizer(POSES)
    answers = []
    for number in range(4, 20):
        image = np.full((30, 40, 3), number, np.uint8)
        image[:, 21:25, 0] = 255
        answers.append(localizer.localize(Frame(image=image, camera=camera, stamp_ns=START_NS + number * STEP_NS)))
    np.testing.assert_allclose(accepted(answers[-1]).T_map_camera, true_pose(19, 4), atol=1e-5)
    shown = localizer.network_view(Frame(image=image, camera=camera))
    assert 0 < np.count_nonzero(shown.any(axis=2)) < 0.2 * shown.shape[0] * shown.shape[1]


def test_rolling_the_panorama_costs_twice_and_finds_what_disagrees() -> None:
    limits = SequenceLimits(roll_check=True)
    localizer, encoder, step = truth_localizer(POSES, limits)
    plain, _, _ = truth_localizer(POSES)
    agreed, expected = run(localizer, range(10)), run(plain, range(10))
    np.testing.assert_allclose(accepted(agreed[9]).covariance, accepted(expected[9]).covariance, rtol=1e-3)
    # The first frame is the origin, whatever the network says.
    assert encoder.runs == 19
    step.wrong_when_turned_m = 0.4
    assert accepted(run(localizer, [10])[0]).covariance[0, 0] == pytest.approx(0.16 + (5 * STD_M) ** 2, rel=1e-3)
    step.wrong_when_turned_m = 1.4
    answer = run(localizer, [11])[0]
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.TOO_UNCERTAIN


def test_memory_does_not_grow(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "reloc_ros")  # pytest keeps what is logged
    localizer, _, _ = truth_localizer(POSES, trained_distance_m=2.0)
    stamps = iter(range(START_NS, START_NS + 10**15, STEP_NS))

    def some(count: int) -> None:
        for n in range(count):
            localizer.localize(panorama(min(n % 400, 399 - n % 400) % 200, next(stamps)))

    some(150)
    gc.collect()
    tracemalloc.start()
    some(100)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    some(250)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000


def test_a_bundle_of_single_images_is_refused() -> None:
    from fake_bundles import make_manifest

    with pytest.raises(BundleError, match="give one of a sequence"):
        SequenceLocalizer(make_manifest(), TruthEncoder(), TruthStep(POSES))


def test_a_network_that_does_not_know_the_last_frame_is_asked_for_the_way_between_its_poses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SequenceNetwork, "knows_motion", False)
    localizer, _, step = truth_localizer(POSES)
    answer = step.run

    def without_motion(inputs: dict[str, object]) -> dict[str, object]:
        return {**answer(inputs), "inter_translation_m": np.zeros((1, 3)), "inter_rotation": np.eye(3)[np.newaxis]}

    step.run = without_motion  # type: ignore[method-assign, assignment]
    assert [accepted(answer).is_keyframe for answer in run(localizer, range(10))] == [n % 3 == 0 for n in range(10)]


def test_a_covered_lens_of_a_rig_leaves_the_others() -> None:
    """The first camera, in whose place the second looks as well, shows nothing; alone, nothing is all there is."""
    camera = PinholeCamera(40, 30, np.array([[30.0, 0.0, 19.5], [0.0, 30.0, 14.5], [0.0, 0.0, 1.0]]))
    rig = RigCamera((camera, camera), (np.eye(4), np.eye(4)))
    localizer, _, _ = truth_localizer(POSES)
    for number in range(4, 12):
        seen = np.full((30, 40, 3), number, np.uint8)
        seen[:, 21:25, 0] = 255
        image = rig.join([np.full_like(seen, 2), seen])
        answer = localizer.localize(Frame(image=image, camera=rig, stamp_ns=START_NS + number * STEP_NS))
    np.testing.assert_allclose(accepted(answer).T_map_camera, true_pose(11, 4), atol=1e-5)
    blind = localizer.localize(Frame(image=np.zeros_like(image), camera=rig, stamp_ns=START_NS + 12 * STEP_NS))
    assert isinstance(blind, Rejected)
    assert blind.reason is Reason.DEGENERATE
