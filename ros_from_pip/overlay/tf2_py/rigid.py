"""Rigid transforms as plain tuples: a tree of frames needs many small products, for which arrays are slow."""

from __future__ import annotations

import math
from typing import NamedTuple

Vector = tuple[float, float, float]
QuatXyzw = tuple[float, float, float, float]


class Rigid(NamedTuple):
    """T_parent_child: rotation, then translation in metres."""

    translation: Vector
    quat_xyzw: QuatXyzw


IDENTITY = Rigid((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def multiply_quat(a: QuatXyzw, b: QuatXyzw) -> QuatXyzw:
    """Return the Hamilton product a * b."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def rotate(quat_xyzw: QuatXyzw, vector: Vector) -> Vector:
    """Return the vector rotated by the unit quaternion."""
    x, y, z, w = quat_xyzw
    inverse = (-x, -y, -z, w)
    rx, ry, rz, _ = multiply_quat(multiply_quat(quat_xyzw, (*vector, 0.0)), inverse)
    return (rx, ry, rz)


def compose(T_a_b: Rigid, T_b_c: Rigid) -> Rigid:
    """Return T_a_c."""
    moved = rotate(T_a_b.quat_xyzw, T_b_c.translation)
    shift = T_a_b.translation
    translation = (moved[0] + shift[0], moved[1] + shift[1], moved[2] + shift[2])
    return Rigid(translation, multiply_quat(T_a_b.quat_xyzw, T_b_c.quat_xyzw))


def invert(T_a_b: Rigid) -> Rigid:
    """Return T_b_a."""
    x, y, z, w = T_a_b.quat_xyzw
    inverse = (-x, -y, -z, w)
    tx, ty, tz = rotate(inverse, T_a_b.translation)
    return Rigid((-tx, -ty, -tz), inverse)


def interpolate(older: Rigid, newer: Rigid, fraction: float) -> Rigid:
    """Return the transform between two: linear in translation, spherical along the shorter arc in rotation."""
    ta, tb = older.translation, newer.translation
    translation = (
        ta[0] + fraction * (tb[0] - ta[0]),
        ta[1] + fraction * (tb[1] - ta[1]),
        ta[2] + fraction * (tb[2] - ta[2]),
    )
    return Rigid(translation, slerp(older.quat_xyzw, newer.quat_xyzw, fraction))


def slerp(a: QuatXyzw, b: QuatXyzw, fraction: float) -> QuatXyzw:
    """Return the unit quaternion at `fraction` of the shorter arc from a to b (Shoemake 1985)."""
    cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    if cosine < 0.0:
        b = (-b[0], -b[1], -b[2], -b[3])
        cosine = -cosine
    angle = math.acos(min(1.0, cosine))
    sine = math.sin(angle)
    # Below this sine the two weights lose all their digits; the chord and the arc agree to 1e-16 there.
    if sine < 1e-8:
        weight_a, weight_b = 1.0 - fraction, fraction
    else:
        weight_a, weight_b = math.sin((1.0 - fraction) * angle) / sine, math.sin(fraction * angle) / sine
    x, y, z, w = (weight_a * qa + weight_b * qb for qa, qb in zip(a, b))
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return (x / norm, y / norm, z / norm, w / norm)
