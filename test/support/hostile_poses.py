"""Pose messages that no well-meaning sender sends."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from numpy.random import Generator

STRANGE = np.array([0.0, -0.0, 1.0, -1.0, 1e-320, 1e-9, 17.0, 1e5, 1e300, -1e300, np.inf, -np.inf, np.nan])


def hostile(rng: Generator) -> PoseWithCovarianceStamped:
    """Return a message in which some numbers are replaced by strange ones."""
    message = PoseWithCovarianceStamped()
    covariance = np.diag(rng.uniform(0.0, 1.0, 6)).ravel()
    message.pose.pose.orientation.w = 1.0
    for place in rng.integers(0, 43, rng.integers(0, 4)):
        number = float(rng.choice(STRANGE))
        if place < 36:
            covariance[place] = number
        elif place < 39:
            setattr(message.pose.pose.position, "xyz"[place - 36], number)
        else:
            setattr(message.pose.pose.orientation, "xyzw"[place - 39], number)
    message.pose.covariance = covariance
    return message
