"""Ask the network twice: a panorama rolled sideways is the same place seen by a camera turned by a known angle.

What the two answers differ by is error for certain, whatever the network says of its own certainty.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reloc_ros.cameras.canvas import COVERED, rolled
from reloc_ros.geometry import covariance
from reloc_ros.localization.sequence_network import SequenceNetwork, StateArrays, Step
from reloc_ros.types import Image

_TURN = 1 / 8
"""Share of a full circle; 45 degrees lie inside the motions the network was trained on."""


def widened_by_roll(step: Step, canvas: Image, network: SequenceNetwork, arrays: StateArrays) -> Step:
    """Return the step, less certain by the square of its difference from that of the rolled canvas.

    Nothing changes for canvases that show less than the full sphere: rolled, they show another part of it.

    Args:
        step: of the canvas.
        canvas: (H, W, 4).
        network: that answered.
        arrays: the state before the step.
    """
    if not np.all(canvas[..., 3] == COVERED):
        return step
    turned, R_rolled_camera = rolled(canvas, round(_TURN * canvas.shape[1]))
    again = network.step(network.encode(turned), arrays)
    T_origin_camera = again.T_origin_camera.copy()
    T_origin_camera[:3, :3] = T_origin_camera[:3, :3] @ R_rolled_camera
    difference = covariance.difference(step.T_origin_camera, T_origin_camera)
    return replace(
        step,
        position_m2=step.position_m2 + float(difference[:3] @ difference[:3]),
        rotation_rad2=step.rotation_rad2 + float(difference[3:] @ difference[3:]),
    )
