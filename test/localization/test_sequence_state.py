"""States of sequences as bytes: what comes back, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_sequences import SPEC

from reloc_ros.errors import BundleError
from reloc_ros.geometry import rotation, se3
from reloc_ros.localization.sequence_anchor import Anchor, Drift, Passage
from reloc_ros.localization.sequence_state import SequenceState, restore

T_ONE = se3.from_rotation_translation(rotation.exp([0.1, -0.7, 0.2]), [1.0, -2.0, 0.5])
T_OTHER = se3.from_rotation_translation(rotation.exp([-1.4, 0.3, 0.9]), [-3.0, 0.1, 4.0])
ANCHOR = Anchor(
    source="initialpose",
    map_frame="küche/map",
    T_map_body=T_OTHER,
    covariance=np.diag([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]) + 0.01,
    at=Passage(stamp_ns=99, T_first_body=T_ONE, drift=Drift(position_m2=0.5, rotation_rad2=0.25, turned_rad2=0.125)),
)
STATE = SequenceState(
    version=3,
    arrays={
        "started": np.ones((1, 1), np.float32),
        "previous": np.array([[3.0, 17.0]], np.float32),
        "fed": np.array([2.5], np.float32),
    },
    stamp_ns=1_700_000_000_123_456_789,
    feature=np.array([[1.5, -2.0]], np.float32),
    usual_change=0.75,
    keyframes=7,
    travelled_m=3.25,
    T_first_origin=T_ONE,
    T_origin_keyframe=T_OTHER,
    T_first_chained=T_OTHER @ T_ONE,
    spent=Drift(position_m2=0.5, rotation_rad2=0.125, turned_rad2=0.0625),
    peak=Drift(position_m2=2.0, rotation_rad2=1.0, walked_m2=0.375, walked_rad2=0.03125),
    T_odom_keyframe=T_ONE @ T_OTHER,
    anchor=ANCHOR,
)


def flat(state: SequenceState) -> dict[str, Any]:
    """Return all values, comparable."""
    values = {name: value for name, value in vars(state).items() if name not in ("arrays", "anchor")}
    if state.anchor is not None:
        values |= {f"anchor {name}": value for name, value in vars(state.anchor).items() if name != "at"}
        values |= {f"at {name}": value for name, value in vars(state.anchor.at).items()}
    values |= {f"array {name}": array for name, array in state.arrays.items()}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


@pytest.mark.parametrize("state", [STATE, replace(STATE, anchor=None), replace(STATE, T_odom_keyframe=None)])
def test_a_state_comes_back_equal(state: SequenceState) -> None:
    assert flat(restore(state.save(), SPEC)) == flat(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has version 2, the bundle's network 3"),
        ({"arrays": {name: a for name, a in STATE.arrays.items() if name != "fed"}}, "has arrays"),
        ({"arrays": {**STATE.arrays, "more": np.zeros((1, 1), np.float32)}}, "has arrays"),
        ({"arrays": {**STATE.arrays, "fed": np.zeros((2,), np.float32)}}, "has arrays"),
        ({"arrays": {**STATE.arrays, "fed": np.array([np.nan], np.float32)}}, "not finite in fed"),
        ({"feature": np.zeros((1, 3), np.float32)}, "has arrays"),
        ({"feature": np.array([[1.0, np.inf]], np.float32)}, "not finite in the feature"),
        ({"usual_change": np.nan}, "not finite in its drift"),
        ({"travelled_m": np.inf}, "not finite in its drift"),
        ({"spent": Drift(position_m2=-1.0)}, "not finite in its drift"),
        ({"T_first_chained": np.zeros((4, 4))}, "not rigid"),
        ({"T_first_origin": 2.0 * np.eye(4)}, "not rigid"),
        ({"T_odom_keyframe": np.full((4, 4), np.nan)}, "not rigid"),
        ({"anchor": replace(ANCHOR, covariance=np.eye(3))}, "without a covariance"),
    ],
)
def test_what_no_state_of_this_network_can_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        restore(replace(STATE, **changes).save(), SPEC)


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "saved",
    [b"", b"PK\x03\x04 no archive", STATE.save()[:-200], _npz(version=np.array(3)), _npz(version=np.array([{}]))],
)
def test_bytes_that_are_no_state_are_refused_with_the_remedy(saved: bytes) -> None:
    with pytest.raises(BundleError, match=r"cannot be read .*; reset it"):
        restore(saved, SPEC)
