"""Baked light: lamps with soft shadows, daylight through the windows, and light thrown back by walls and floors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reloc_ros.synthetic.mesh import Floats, TexturedMesh
from reloc_ros.synthetic.ray_caster import RayCaster
from reloc_ros.types import Image

GATHER_RAYS = 160
BOUNCES = 3
FACING_RAYS = 8
LAMP_RADIUS_M = 0.12
LAMP_SAMPLES = 5
LIFT_M = 2e-3
AMBIENT = 0.03

Progress = Callable[[float], None]
"""Is told the share of a piece of work that is done, 0..1."""


def silent(_: float) -> None:
    """Take note of nothing."""


@dataclass(frozen=True)
class Lamp:
    """A small lamp: where it hangs (metres) and how bright it is (linear RGB at one metre, about)."""

    position: tuple[float, float, float]
    power: tuple[float, float, float]


def bake(
    mesh: TexturedMesh,
    lamps: tuple[Lamp, ...],
    outdoors: Image,
    *,
    two_sided: bool = False,
    rays: int = GATHER_RAYS,
    progress: Progress = silent,
) -> TexturedMesh:
    """Return the mesh with the light that arrives at each vertex.

    Lambertian surfaces; direct light of the lamps, then `BOUNCES` passes in which each vertex gathers, over a fixed
    cosine-weighted set of directions, what the surfaces there (and the sky) send back.

    Args:
        mesh: what to light.
        lamps: lamps.
        outdoors: equirectangular picture seen by rays that leave the world (see `pictures.outdoors`).
        two_sided: the winding of the faces cannot be trusted (mesh files): light the side that sees more of the room.
        rays: directions for each vertex.
        progress: told how far it is.
    """
    caster = RayCaster(mesh.triangles)
    normals = vertex_normals(mesh)
    directions = _cosine_directions(rays)
    if two_sided:
        normals = _facing_the_room(caster, mesh.vertices, normals, directions[:: max(1, rays // FACING_RAYS)])
    centre = mesh.triangles.mean(axis=1)
    towards_centre = np.zeros_like(mesh.vertices)
    for corner in range(3):
        towards_centre[mesh.faces[:, corner]] = centre - mesh.vertices[mesh.faces[:, corner]]
    origins = mesh.vertices + LIFT_M * normals + 0.08 * towards_centre
    casts = LAMP_SAMPLES * len(lamps) + rays
    direct = _direct_light(caster, origins, normals, lamps, lambda done: progress(done / casts))
    faces_seen, sky_seen = _gather(
        caster, origins, normals, directions, outdoors, lambda done: progress((casts - rays + done) / casts)
    )
    albedo = np.stack([(texture.reshape(-1, 3) / 255.0).mean(axis=0) ** 2 for texture in mesh.textures])
    face_albedo = albedo[mesh.face_texture].astype(np.float32)
    glow = face_albedo * mesh.face_glow[:, None] * 4.0
    light = direct + sky_seen
    for _ in range(BOUNCES):
        sent = face_albedo * light[mesh.faces].mean(axis=1) + glow
        sent = np.concatenate([sent, np.zeros((1, 3), np.float32)])
        returned = np.zeros_like(light)
        for k in range(rays):
            returned += sent[faces_seen[:, k]]
        light = direct + sky_seen + returned / rays
    return replace(mesh, light=(light + AMBIENT).astype(np.float32))


def vertex_normals(mesh: TexturedMesh) -> Floats:
    """Return (V, 3) unit normals, area-weighted over the faces of each vertex."""
    corner = mesh.triangles
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(mesh.vertices)
    for k in range(3):
        np.add.at(total, mesh.faces[:, k], normal)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(length, 1e-12), np.float32)


def look_up_outdoors(outdoors: Image, directions: Floats) -> Floats:
    """Return (N, 3) linear colours of the picture outside for (N, 3) unit directions."""
    height, width, _ = outdoors.shape
    azimuth = np.arctan2(directions[:, 1], directions[:, 0]) / (2 * np.pi)
    column = (np.mod(azimuth, 1.0) * width).astype(np.int32) % width
    row = np.clip((np.arccos(np.clip(directions[:, 2], -1, 1)) / np.pi * height).astype(np.int32), 0, height - 1)
    return np.asarray((outdoors[row, column].astype(np.float32) / 255.0) ** 2 * 1.6, np.float32)


def _cosine_directions(count: int) -> Floats:
    """Return (count, 3) directions about +z, spread on a spiral with density proportional to cos(angle to z)."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * np.pi * (1 + np.sqrt(5))
    return np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), np.sqrt(np.maximum(0.0, 1 - radius**2))], axis=1
    ).astype(np.float32)


def _frames(normals: Floats) -> tuple[Floats, Floats]:
    """Return two unit vectors across each normal (Duff et al. 2017, building an orthonormal basis)."""
    x, y, z = normals.T
    sign = np.where(z >= 0, 1.0, -1.0).astype(np.float32)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    second = np.stack([b, sign + y * y * a, -y], axis=1)
    return first.astype(np.float32), second.astype(np.float32)


def _direct_light(
    caster: RayCaster, origins: Floats, normals: Floats, lamps: tuple[Lamp, ...], done: Callable[[int], None]
) -> Floats:
    """Return (V, 3) light of the lamps; `done` is told the number of sweeps over all vertices so far."""
    light = np.zeros_like(origins)
    offsets = LAMP_RADIUS_M * np.array([[1, 0, 0], [-0.5, 0.8, 0.2], [-0.5, -0.8, -0.2], [0, 0, -1], [0.3, 0.3, 0.1]])
    for index, lamp in enumerate(lamps):
        for sample, offset in enumerate(offsets):
            done(LAMP_SAMPLES * index + sample)
            position = (np.asarray(lamp.position) + offset).astype(np.float32)
            towards = position - origins
            squared = (towards**2).sum(axis=1)
            cosine = (towards * normals).sum(axis=1) / np.sqrt(squared)
            strength = np.where(cosine > 0, cosine / (0.5 + squared), 0.0)
            lit = np.flatnonzero(strength > 1e-3)
            clear = ~caster.blocked(origins[lit], np.broadcast_to(position, (len(lit), 3)))
            share = np.where(clear, strength[lit], 0.0)[:, None] / len(offsets)
            light[lit] += (share * np.asarray(lamp.power)).astype(np.float32)
    return light


def _gather(
    caster: RayCaster,
    origins: Floats,
    normals: Floats,
    directions: Floats,
    outdoors: Image,
    done: Callable[[int], None],
) -> tuple[NDArray[np.int32], Floats]:
    """Return (V, rays) the face met in each direction (-1: none), and (V, 3) the sky's part.

    `done` is told the number of directions so far.
    """
    first, second = _frames(normals)
    faces = np.empty((len(origins), len(directions)), np.int32)
    sky = np.zeros_like(origins)
    for k, direction in enumerate(directions):
        world = first * direction[0] + second * direction[1] + normals * direction[2]
        faces[:, k] = caster.cast(origins, world).face
        left = faces[:, k] < 0
        sky[left] += look_up_outdoors(outdoors, world[left])
        done(k + 1)
    return faces, (sky / len(directions)).astype(np.float32)


def _facing_the_room(caster: RayCaster, vertices: Floats, normals: Floats, directions: Floats) -> Floats:
    """Return normals turned to the side with more room before it; beyond an outer wall there is none."""
    first, second = _frames(normals)
    room = []
    for side in (1.0, -1.0):
        seen = np.zeros(len(vertices))
        for direction in directions:
            world = first * direction[0] + second * direction[1] + side * normals * direction[2]
            hits = caster.cast(vertices + side * LIFT_M * normals, world)
            seen += np.where(hits.face >= 0, np.minimum(hits.distance, 3.0), 0.0)
        room.append(seen)
    return np.where((room[0] >= room[1])[:, None], normals, -normals).astype(np.float32)
