"""What a sequence remembers of its frames: all there is, of constant size, and savable."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.bundle.manifest import SequenceSpec
from reloc_ros.errors import BundleError
from reloc_ros.geometry import se3
from reloc_ros.localization.sequence_anchor import Anchor, Drift, Passage
from reloc_ros.types import Array

_ARRAY = "array_"
_DRIFT = tuple(entry.name for entry in fields(Drift))
_FEATURE = "the feature"
"""Beside the arrays, in messages; no tensor of a graph is called so."""

_RIGID_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SequenceState:
    """A sequence after one of its keyframes.

    Args:
        version: of the network's state; another network's means nothing.
        arrays: the network's state by name, float32.
        stamp_ns: of the keyframe.
        feature: (1, F) of the keyframe.
        usual_change: mean distance of the features of two keyframes that follow each other; 0 before the second.
        keyframes: since the present origin.
        travelled_m: way from keyframe to keyframe since the present origin.
        T_first_origin: (4, 4) present origin to first frame.
        T_origin_keyframe: (4, 4) keyframe to present origin.
        T_first_chained: (4, 4) keyframe to first frame by nothing but the motions between.
        spent: drift from the first frame to the present origin.
        peak: largest drift since the present origin.
        T_odom_keyframe: (4, 4) odometry at the keyframe; None without it.
        anchor: ties the sequence to a map; None without one.
    """

    version: int
    arrays: dict[str, NDArray[np.float32]]
    stamp_ns: int
    feature: NDArray[np.float32]
    usual_change: float = 0.0
    keyframes: int = 1
    travelled_m: float = 0.0
    T_first_origin: Array = field(default_factory=lambda: np.eye(4))
    T_origin_keyframe: Array = field(default_factory=lambda: np.eye(4))
    T_first_chained: Array = field(default_factory=lambda: np.eye(4))
    spent: Drift = field(default_factory=Drift)
    peak: Drift = field(default_factory=Drift)
    T_odom_keyframe: Array | None = None
    anchor: Anchor | None = None

    def save(self) -> bytes:
        """Return the state as an npz archive that `restore` reads back equal."""
        numbers: dict[str, Any] = {
            "version": np.array(self.version),
            "stamp_ns": np.array(self.stamp_ns),
            "feature": self.feature,
            "usual_change": np.array(self.usual_change),
            "keyframes": np.array(self.keyframes),
            "travelled_m": np.array(self.travelled_m),
            "T_first_origin": self.T_first_origin,
            "T_origin_keyframe": self.T_origin_keyframe,
            "T_first_chained": self.T_first_chained,
            "spent": _drift_numbers(self.spent),
            "peak": _drift_numbers(self.peak),
        }
        if self.T_odom_keyframe is not None:
            numbers["T_odom_keyframe"] = self.T_odom_keyframe
        if self.anchor is not None:
            numbers.update(_anchor_numbers(self.anchor))
        numbers.update({f"{_ARRAY}{name}": array for name, array in self.arrays.items()})
        file = io.BytesIO()
        np.savez(file, **numbers)
        return file.getvalue()


def restore(saved: bytes, spec: SequenceSpec) -> SequenceState:
    """Return a saved state, for the network that a bundle describes.

    Raises:
        BundleError: the bytes are no saved state, of another version or network, or hold what no state can be.
    """
    try:
        with np.load(io.BytesIO(saved), allow_pickle=False) as archive:
            numbers = {name: archive[name] for name in archive.files}
        state = _state(numbers)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BundleError(f"saved sequence state cannot be read ({type(error).__name__}: {error}); reset it") from error
    _check(state, spec)
    return state


def _state(numbers: dict[str, Any]) -> SequenceState:
    odometry = numbers.get("T_odom_keyframe")
    return SequenceState(
        version=int(numbers["version"]),
        arrays={
            name[len(_ARRAY) :]: np.asarray(array, np.float32)
            for name, array in numbers.items()
            if name.startswith(_ARRAY)
        },
        stamp_ns=int(numbers["stamp_ns"]),
        feature=np.asarray(numbers["feature"], np.float32),
        usual_change=float(numbers["usual_change"]),
        keyframes=int(numbers["keyframes"]),
        travelled_m=float(numbers["travelled_m"]),
        T_first_origin=np.asarray(numbers["T_first_origin"], np.float64),
        T_origin_keyframe=np.asarray(numbers["T_origin_keyframe"], np.float64),
        T_first_chained=np.asarray(numbers["T_first_chained"], np.float64),
        spent=_drift(numbers["spent"]),
        peak=_drift(numbers["peak"]),
        T_odom_keyframe=None if odometry is None else np.asarray(odometry, np.float64),
        anchor=_anchor(numbers),
    )


def _check(state: SequenceState, spec: SequenceSpec) -> None:
    """Refuse the state of another network, and numbers that would poison every frame to come."""
    if state.version != spec.state_version:
        raise BundleError(
            f"saved sequence state has version {state.version}, the bundle's network {spec.state_version}; reset it"
        )
    arrays = {**state.arrays, _FEATURE: state.feature}
    expected = {**{each.name: tuple(each.shape) for each in spec.state}, _FEATURE: (1, spec.feature)}
    found = {name: array.shape for name, array in arrays.items()}
    if found != expected:
        raise BundleError(f"saved sequence state has arrays {found}, the bundle's network {expected}; reset it")
    names = [name for name, array in arrays.items() if not np.all(np.isfinite(array))]
    drifts = np.concatenate(
        [_drift_numbers(state.spent), _drift_numbers(state.peak), [state.travelled_m, state.usual_change]]
    )
    if names or not np.all(np.isfinite(drifts)) or np.any(drifts < 0.0):
        raise BundleError(f"saved sequence state is not finite in {', '.join(names) or 'its drift'}; reset it")
    poses = [state.T_first_origin, state.T_origin_keyframe, state.T_first_chained]
    poses += [] if state.T_odom_keyframe is None else [state.T_odom_keyframe]
    if state.anchor is not None:
        poses += [state.anchor.T_map_body, state.anchor.at.T_first_body]
        if state.anchor.covariance.shape != (6, 6) or not np.all(np.isfinite(state.anchor.covariance)):
            raise BundleError("saved sequence state has an anchor without a covariance; reset it")
    if not all(se3.is_rigid(T, _RIGID_TOLERANCE) for T in poses):
        raise BundleError("saved sequence state holds a pose that is not rigid; reset it")


def _drift_numbers(drift: Drift) -> Array:
    return np.array([getattr(drift, name) for name in _DRIFT])


def _drift(numbers: Array) -> Drift:
    return Drift(**{name: float(number) for name, number in zip(_DRIFT, numbers, strict=True)})


def _anchor_numbers(anchor: Anchor) -> dict[str, Any]:
    return {
        "anchor_names": np.array([anchor.source, anchor.map_frame]),
        "anchor_T_map_body": anchor.T_map_body,
        "anchor_covariance": anchor.covariance,
        "anchor_stamp_ns": np.array(anchor.at.stamp_ns),
        "anchor_T_first_body": anchor.at.T_first_body,
        "anchor_drift": _drift_numbers(anchor.at.drift),
    }


def _anchor(numbers: dict[str, Any]) -> Anchor | None:
    if "anchor_names" not in numbers:
        return None
    source, map_frame = (str(name) for name in numbers["anchor_names"])
    return Anchor(
        source=source,
        map_frame=map_frame,
        T_map_body=np.asarray(numbers["anchor_T_map_body"], np.float64),
        covariance=np.asarray(numbers["anchor_covariance"], np.float64),
        at=Passage(
            stamp_ns=int(numbers["anchor_stamp_ns"]),
            T_first_body=np.asarray(numbers["anchor_T_first_body"], np.float64),
            drift=_drift(numbers["anchor_drift"]),
        ),
    )
