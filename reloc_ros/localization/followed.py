"""A frame of a sequence on its way in and out of the tracker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reloc_ros.localization.sequence_anchor import Drift
from reloc_ros.localization.sequence_network import StateArrays, Step
from reloc_ros.types import Array


@dataclass(frozen=True, kw_only=True)
class SequenceFrame:
    """A frame as the tracker sees it.

    Args:
        stamp_ns: message time.
        feature: (1, F) float32.
        T_odom_camera: (4, 4) of the camera at the stamp; None without odometry.
        check: makes a step less certain where there is reason to.
    """

    stamp_ns: int
    feature: NDArray[np.float32]
    T_odom_camera: Array | None
    check: Callable[[Step, StateArrays], Step]


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A frame in its place.

    Args:
        T_origin_camera: (4, 4), as the network says.
        T_first_origin: (4, 4) of that origin.
        T_first_chained: (4, 4) of the camera by nothing but the motions from keyframe to keyframe.
        variances: (6,) of T_origin_camera, calibrated.
        spent: drift from the first frame to the origin.
        peak: largest drift since, this frame included.
        is_keyframe: whether it fed the state.
        travelled_m: from keyframe to keyframe since the origin.
    """

    T_origin_camera: Array
    T_first_origin: Array
    T_first_chained: Array
    variances: Array
    spent: Drift
    peak: Drift
    is_keyframe: bool
    travelled_m: float

    @property
    def drift(self) -> Drift:
        """Since the first frame."""
        return joined(self.spent, self.peak)


def joined(spent: Drift, peak: Drift) -> Drift:
    """Return the drift since the first frame of that up to the origin and that since."""
    return Drift(
        position_m2=spent.position_m2 + peak.position_m2,
        rotation_rad2=spent.rotation_rad2 + peak.rotation_rad2,
        turned_rad2=spent.turned_rad2,
        walked_m2=spent.walked_m2 + peak.walked_m2,
        walked_rad2=spent.walked_rad2 + peak.walked_rad2,
    )
