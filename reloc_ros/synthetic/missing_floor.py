"""Lays a floor where a mesh file has none: without one, a robot would drive over the picture of the outdoors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reloc_ros.synthetic.mesh import MeshBuilder, TexturedMesh
from reloc_ros.synthetic.ray_caster import RayCaster
from reloc_ros.synthetic.textures import finish, hsv, planks

PROBES = 40
PROBE_HEIGHT_M = 0.3
MAX_HOLES = 0.4
"""Share of the ground plan that may be without a floor, beside the house for instance."""
TEXELS_PER_M = 60
MAX_TEXELS = 2048
CELL_M = 0.4
SINK_M = 0.003


def lay_missing_floor(
    mesh: TexturedMesh, area: tuple[float, float, float, float], floor_m: float, rng: Generator
) -> TexturedMesh:
    """Return the mesh with boards under all of it at the height `floor_m`, if most of `area` has no floor.

    `area` (x0, y0, x1, y1) is where most of the mesh is; there may be a garden round it.
    """
    x0, y0, x1, y1 = area
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(x0, x1, PROBES), np.linspace(y0, y1, PROBES)))
    start = np.stack([x, y, np.full_like(x, floor_m + PROBE_HEIGHT_M)], axis=1).astype(np.float32)
    down = np.broadcast_to(np.array([0, 0, -1], np.float32), start.shape)
    if np.mean(RayCaster(mesh.triangles).cast(start, down).face < 0) <= MAX_HOLES:
        return mesh
    builder = MeshBuilder(cell_m=CELL_M)
    x0, y1 = float(mesh.bounds[0, 0]), float(mesh.bounds[1, 1])
    width, depth = (float(a) for a in (mesh.bounds[1] - mesh.bounds[0])[:2])
    tone = hsv(0.04 + 0.08 * rng.random(), 0.25 + 0.35 * rng.random(), 0.4 + 0.4 * rng.random())
    rows, columns = (int(np.clip(size * TEXELS_PER_M, 8, MAX_TEXELS)) for size in (depth, width))
    boards = builder.texture(finish(planks(rng, rows, columns, tone, max(2, rows // 9))))
    # A little lower than what there is of the floor, so that the two do not fight for the same pixels.
    builder.quad((x0, y1, floor_m - SINK_M), (width, 0, 0), (0, -depth, 0), boards)
    return _joined(mesh, builder.build())


def _joined(a: TexturedMesh, b: TexturedMesh) -> TexturedMesh:
    return replace(
        a,
        vertices=np.concatenate([a.vertices, b.vertices]),
        faces=np.concatenate([a.faces, b.faces + len(a.vertices)]).astype(np.int32),
        uv=np.concatenate([a.uv, b.uv]),
        face_texture=np.concatenate([a.face_texture, b.face_texture + len(a.textures)]).astype(np.int32),
        face_glow=np.concatenate([a.face_glow, b.face_glow]),
        textures=a.textures + b.textures,
        light=np.concatenate([a.light, b.light]),
    )
