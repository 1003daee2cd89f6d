"""Kidnaps with real fixes: a relocalizer sees recorded images, and each kidnap is a cut from one drive to another.

Images, poses and fixes are real (or rendered); odometry is simulated from the poses, and a kidnap is a cut that it does
not notice. Each image is localized once, so that any number of kidnaps costs little more than one pass over the images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.errors import DatasetError
from reloc_ros.evaluation.recovery_simulation import FALSE_DEG, FALSE_M
from reloc_ros.evaluation.simulated_drives import Sample
from reloc_ros.geometry import rotation, se3
from reloc_ros.geometry.covariance import difference
from reloc_ros.localization.fusion import NS_PER_S, Belief, motion
from reloc_ros.types import Array, Estimate, Frame, Localization

_GAP_S = 1.0
_FASTEST_M_S = 2.5
"""Images further apart in time or place than this are not one drive."""

_LEVELS = (0.5, 0.9, 0.95)
_CARRIED_M = 2.0
_TRIES = 1000
_START_NS = 100 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class Look:
    """One image of a drive: where the camera was, and where the relocalizer takes it to be (None: rejected).

    Poses and covariance are those of the camera optical frame in the map.
    """

    stamp_ns: int
    T_map_camera: Array
    T_map_camera_seen: Array | None
    covariance: Array | None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Errors of the simulated odometry, those of `simulated_drives`.

    Args:
        scale: std of the constant relative error of way and turn.
        position_m_per_sqrt_m: random walk of the way.
        rotation_rad_per_sqrt_rad: random walk of the turn; a tenth of the metres driven counts like radians.
    """

    scale: float = 0.01
    position_m_per_sqrt_m: float = 0.01
    rotation_rad_per_sqrt_rad: float = 0.01


def thinned(dataset: PosedImages, rate_hz: float) -> PosedImages:
    """Return the data set without images that follow another sooner than at this rate."""
    kept: list[PosedImage] = []
    # A millisecond of grace: recordings at exactly this rate have stamps that jitter.
    spacing_ns = NS_PER_S / rate_hz - 1_000_000
    for image in dataset.images:
        last = kept[-1] if kept else None
        if last is None or image.sequence != last.sequence or image.stamp_ns - last.stamp_ns >= spacing_ns:
            kept.append(image)
    return replace(dataset, images=tuple(kept))


def localize_all(
    dataset: PosedImages,
    localize: Callable[[Frame], Localization],
    *,
    cache: Path | None = None,
    key: str = "",
    on_image: Callable[[], None] | None = None,
) -> list[Look]:
    """Return what a relocalizer makes of each image.

    Args:
        dataset: recordings.
        localize: gives the pose of a frame's camera.
        cache: folder in which the answers are kept.
        key: changes whenever `localize` would answer differently, for example the checksum of a bundle.
        on_image: told after each image, for a progress bar.
    """
    path = None if cache is None else cache / f"fixes_{_fingerprint(dataset, key)}.npz"
    if path is not None and path.is_file():
        with np.load(path) as stored:
            return _looks(dataset, stored["T_map_camera"], stored["covariance"])
    seen, covariances = np.full((len(dataset), 4, 4), np.nan), np.full((len(dataset), 6, 6), np.nan)
    for index, image in enumerate(dataset.images):
        answer = localize(image.frame())
        if isinstance(answer, Estimate):
            seen[index], covariances[index] = answer.T_map_camera, answer.covariance
        if on_image is not None:
            on_image()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, T_map_camera=seen, covariance=covariances)
    return _looks(dataset, seen, covariances)


def drives_of(dataset: PosedImages, looks: Sequence[Look]) -> list[list[Look]]:
    """Return the looks of each uninterrupted drive: the same sequence, no gap in time, no leap in place."""
    drives: list[list[Look]] = [[looks[0]]]
    for (image, look), (image_next, look_next) in pairwise(zip(dataset.images, looks)):
        seconds = (look_next.stamp_ns - look.stamp_ns) / NS_PER_S
        leap_m = float(np.linalg.norm(look_next.T_map_camera[:3, 3] - look.T_map_camera[:3, 3]))
        follows = 0.0 < seconds <= _GAP_S and leap_m <= _FASTEST_M_S * seconds + 0.1
        if image_next.sequence == image.sequence and follows:
            drives[-1].append(look_next)
        else:
            drives.append([look_next])
    return drives


def cut_run(
    drives: Sequence[Sequence[Look]],
    rng: np.random.Generator,
    *,
    before_s: float,
    after_s: float,
    drift: Drift | None = None,
) -> list[Sample]:
    """Return one kidnap: a piece of a drive, and at once a piece of any drive that begins elsewhere.

    Args:
        drives: as `drives_of` gives them.
        rng: chooses the pieces and draws the odometry.
        before_s: length of the first piece.
        after_s: length of the second.
        drift: of odometry; None: that of `simulated_drives`.

    Raises:
        DatasetError: no drive is long enough, or all begin at one place.
    """
    for _ in range(_TRIES):
        before, after = _piece(drives, rng, before_s), _piece(drives, rng, after_s)
        if np.linalg.norm(before[-1].T_map_camera[:3, 3] - after[0].T_map_camera[:3, 3]) >= _CARRIED_M:
            return _joined(before, after, drift or Drift(), rng)
    raise DatasetError(
        f"no two pieces of the drives lie {_CARRIED_M:g} m apart after {_TRIES} tries; kidnaps need a larger place"
    )


def cut_runs(
    drives: Sequence[Sequence[Look]], *, kidnaps: int, seed: int, before_s: float = 20.0, after_s: float = 40.0
) -> list[list[Sample]]:
    """Return kidnaps; kidnap i of a seed is the same however many are asked for."""
    return [
        cut_run(drives, np.random.default_rng([seed, index]), before_s=before_s, after_s=after_s)
        for index in range(kidnaps)
    ]


def fix_figures(drives: Sequence[Sequence[Look]]) -> dict[str, float]:
    """Return how the single fixes err: what a recovery has to work with.

    Wrong fixes that come in long runs, and covariances that promise too much, are what leads it astray. A wrong fix is
    one that would be a false fix if it were published.
    """
    errors, squared, lengths, wrongs = [], [], [], []
    for drive in drives:
        length_s, last_ns = 0.0, drive[0].stamp_ns
        for look in drive:
            if look.T_map_camera_seen is None or look.covariance is None:
                continue
            error = difference(look.T_map_camera_seen, look.T_map_camera)
            errors.append((float(np.linalg.norm(error[:3])), math.degrees(float(np.linalg.norm(error[3:])))))
            squared.append(float(error @ np.linalg.solve(look.covariance, error)))
            wrongs.append(errors[-1][0] > FALSE_M or errors[-1][1] > FALSE_DEG)
            length_s = length_s + (look.stamp_ns - last_ns) / NS_PER_S if wrongs[-1] else 0.0
            lengths.append(length_s)
            last_ns = look.stamp_ns
    images = sum(len(drive) for drive in drives)
    if not errors:
        return {"images": images, "rejected_share": 1.0}
    table = np.array(errors)
    return {
        "images": images,
        "rejected_share": 1.0 - len(errors) / images,
        "median_m": float(np.median(table[:, 0])),
        "median_deg": float(np.median(table[:, 1])),
        "wrong_share": float(np.mean(wrongs)),
        "longest_wrong_run_s": max(lengths),
        "nees_median": float(np.median(squared)),
        "nees_p95": float(np.quantile(squared, 0.95)),
        # Part of the errors within the region that covariances say they are in so often.
        **{f"coverage_{level:.0%}": float(np.mean(squared <= chi2.ppf(level, 6))) for level in _LEVELS},
    }


def _piece(drives: Sequence[Sequence[Look]], rng: np.random.Generator, seconds: float) -> Sequence[Look]:
    """Return a piece of a drive chosen evenly among all that are long enough."""
    starts = [
        (drive, start)
        for drive in drives
        for start, look in enumerate(drive)
        if (drive[-1].stamp_ns - look.stamp_ns) / NS_PER_S >= seconds - _GAP_S
    ]
    if not starts:
        longest = max((drive[-1].stamp_ns - drive[0].stamp_ns) / NS_PER_S for drive in drives)
        raise DatasetError(
            f"the longest uninterrupted drive lasts {longest:.1f} s, {seconds:g} s are needed; record a longer one"
        )
    drive, start = starts[int(rng.integers(len(starts)))]
    end_ns = drive[start].stamp_ns + round(seconds * NS_PER_S)
    return [look for look in drive[start:] if look.stamp_ns < end_ns]


def _joined(before: Sequence[Look], after: Sequence[Look], drift: Drift, rng: np.random.Generator) -> list[Sample]:
    scale = rng.normal(0.0, drift.scale, 2)
    T_odom_body, stamp_ns = np.eye(4), _START_NS
    samples: list[Sample] = []
    last, step_ns = before[0], 0
    for index, look in enumerate((*before, *after)):
        kidnapped = index == len(before)
        if index > 0 and not kidnapped:
            T_odom_body = T_odom_body @ _measured(se3.inverse(last.T_map_camera) @ look.T_map_camera, scale, drift, rng)
            step_ns = look.stamp_ns - last.stamp_ns
        # The cut takes as long as the step before it.
        stamp_ns += step_ns
        samples.append(
            Sample(
                stamp_ns=stamp_ns,
                T_map_body=look.T_map_camera,
                T_odom_body=T_odom_body,
                fix=_fix(look, T_odom_body, stamp_ns),
                kidnapped=kidnapped,
            )
        )
        last = look
    return samples


def _measured(T_camera_next: Array, scale: Array, drift: Drift, rng: np.random.Generator) -> Array:
    """Return what drifting odometry makes of a step of a level camera: it errs along the way and about the vertical."""
    travel_m, turn_rad = motion(T_camera_next)
    way = 1.0 + scale[0]
    if travel_m > 0.0:
        way += rng.normal(0.0, drift.position_m_per_sqrt_m * math.sqrt(travel_m)) / travel_m
    noise = rng.normal(0.0, drift.rotation_rad_per_sqrt_rad * math.sqrt(turn_rad + 0.1 * travel_m))
    turn = rotation.log(T_camera_next[:3, :3]) * (1.0 + scale[1]) + np.array([0.0, noise, 0.0])
    return se3.from_rotation_translation(rotation.exp(turn), way * T_camera_next[:3, 3])


def _fix(look: Look, T_odom_body: Array, stamp_ns: int) -> Belief | None:
    if look.T_map_camera_seen is None or look.covariance is None:
        return None
    return Belief(
        T_map_body=look.T_map_camera_seen, covariance=look.covariance, T_odom_body=T_odom_body, stamp_ns=stamp_ns
    )


def _looks(dataset: PosedImages, seen: Array, covariances: Array) -> list[Look]:
    found = np.isfinite(seen[:, 0, 0])
    return [
        Look(
            stamp_ns=image.stamp_ns,
            T_map_camera=image.T_map_camera,
            T_map_camera_seen=seen[index] if found[index] else None,
            covariance=covariances[index] if found[index] else None,
        )
        for index, image in enumerate(dataset.images)
    ]


def _fingerprint(dataset: PosedImages, key: str) -> str:
    digest = hashlib.sha256(key.encode())
    for image in dataset.images:
        digest.update(f"{image.sequence}\0{image.name}\0{image.stamp_ns}\0".encode())
        digest.update(np.ascontiguousarray(image.T_map_camera).tobytes())
    return digest.hexdigest()[:16]
