"""Textured triangle meshes and the few shapes a room is made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.textures import Colour
from reloc_ros.types import Array, Image

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.float32]
LIGHT_CELL_M = 0.16
"""Spacing of the vertices that carry baked light: shadows are no sharper than this."""


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """Triangles with textures, map frame, metres, z up.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) vertex indices.
        uv: (F, 3, 2) texture coordinates of each corner; (0, 0) is the top-left corner of the texture, (1, 1) the
            bottom-right one; the texture repeats outside [0, 1].
        face_texture: (F,) index into `textures`.
        face_glow: (F,) light the face sends out by itself, 0 for ordinary surfaces.
        textures: (H, W, 3) uint8 RGB images.
        light: (V, 3) linear RGB light arriving at each vertex; ones until baked.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    uv: Floats
    face_texture: NDArray[np.int32]
    face_glow: Floats
    textures: tuple[Image, ...]
    light: Floats

    def __post_init__(self) -> None:
        count = len(self.faces)
        if count == 0 or not np.isfinite(self.vertices).all():
            raise DatasetError(f"mesh has {count} faces and must have at least one, with finite vertices")
        if self.uv.shape != (count, 3, 2) or self.face_texture.shape != (count,) or self.face_glow.shape != (count,):
            raise DatasetError(f"mesh arrays disagree: {count} faces, uv {self.uv.shape}, {self.face_texture.shape}")
        if int(self.faces.max()) >= len(self.vertices) or int(self.face_texture.max()) >= len(self.textures):
            raise DatasetError("mesh refers to a vertex or a texture that it does not have")

    @property
    def triangles(self) -> Floats:
        """(F, 3, 3) corners of each face, metres."""
        return self.vertices[self.faces]

    @property
    def bounds(self) -> Array:
        """(2, 3) smallest and largest coordinates, metres."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)]).astype(float)


@dataclass
class MeshBuilder:
    """Collects shapes into one mesh; shapes are placed by the transform on top of a stack.

    Args:
        textures: of the shapes added so far.
        cell_m: largest distance between the vertices that carry baked light, metres.
    """

    textures: list[Image] = field(default_factory=list)
    cell_m: float = LIGHT_CELL_M
    _stack: list[Array] = field(default_factory=lambda: [np.eye(4)])
    _parts: list[dict[str, Any]] = field(default_factory=list)
    _vertex_count: int = 0

    def texture(self, image: Image) -> int:
        """Add a texture and return its index."""
        self.textures.append(np.ascontiguousarray(image))
        return len(self.textures) - 1

    def colour(self, rgb: Colour) -> int:
        """Add a plain texture of one colour (0..255) and return its index."""
        return self.texture(np.full((4, 4, 3), np.clip(rgb, 0, 255), np.uint8))

    @contextmanager
    def placed(
        self,
        x: float,
        y: float,
        z: float = 0.0,
        yaw_rad: float = 0.0,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Iterator[None]:
        """Place everything added inside the block at (x, y, z), stretched along its own axes, turned by yaw about z."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        T_parent_child = np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]])
        T_parent_child[:3, :3] *= stretch
        self._stack.append(self._stack[-1] @ T_parent_child)
        try:
            yield
        finally:
            self._stack.pop()

    def triangles(
        self, vertices: Array, faces: NDArray[np.integer[Any]], uv: Array, texture: int, glow: float = 0.0
    ) -> None:
        """Add triangles: (V, 3) vertices of the current frame, (F, 3) faces, (F, 3, 2) texture coordinates."""
        T_map_local = self._stack[-1]
        moved = vertices @ T_map_local[:3, :3].T + T_map_local[:3, 3]
        self._parts.append(
            {
                "vertices": moved.astype(np.float32),
                "faces": (faces + self._vertex_count).astype(np.int32),
                "uv": uv.astype(np.float32),
                "face_texture": np.full(len(faces), texture, np.int32),
                "face_glow": np.full(len(faces), glow, np.float32),
            }
        )
        self._vertex_count += len(vertices)

    def quad(
        self,
        corner: Sequence[float],
        edge_u: Sequence[float],
        edge_v: Sequence[float],
        texture: int,
        uv: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
        glow: float = 0.0,
    ) -> None:
        """Add a parallelogram, cut into cells so that it can carry baked light.

        Args:
            corner: where the texture's top-left corner (uv[0], uv[1]) goes.
            edge_u: along the texture's width; `cross(edge_v, edge_u)` is the side that is seen.
            edge_v: along the texture's height (downwards in the picture).
            texture: index.
            uv: (u0, v0, u1, v1) part of the texture that is spread over the parallelogram.
            glow: own light.
        """
        origin, along_u, along_v = (np.asarray(a, float) for a in (corner, edge_u, edge_v))
        columns = max(1, int(np.ceil(np.linalg.norm(along_u) / self.cell_m)))
        rows = max(1, int(np.ceil(np.linalg.norm(along_v) / self.cell_m)))
        grid = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
        a, b = (axis.ravel() for axis in grid)
        vertices = origin + a[:, None] * along_u + b[:, None] * along_v
        coordinates = np.stack([uv[0] + a * (uv[2] - uv[0]), uv[1] + b * (uv[3] - uv[1])], axis=1)
        i = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
        j = i + columns + 1
        faces = np.concatenate([np.stack([i, j, i + 1], axis=1), np.stack([i + 1, j, j + 1], axis=1)])
        self.triangles(vertices, faces, coordinates[faces], texture, glow)

    def box(
        self,
        low: Sequence[float],
        high: Sequence[float],
        texture: int,
        *,
        front: int | None = None,
        top: int | None = None,
        bottom: bool = False,
        glow: float = 0.0,
    ) -> None:
        """Add an upright box from corner `low` to corner `high`; its front looks along +y."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        w, d, h = x1 - x0, y1 - y0, z1 - z0
        top_texture = texture if top is None else top
        front_texture = texture if front is None else front
        self.quad((x1, y1, z1), (-w, 0, 0), (0, 0, -h), front_texture, glow=glow)
        self.quad((x0, y0, z1), (w, 0, 0), (0, 0, -h), texture, glow=glow)
        self.quad((x1, y0, z1), (0, d, 0), (0, 0, -h), texture, glow=glow)
        self.quad((x0, y1, z1), (0, -d, 0), (0, 0, -h), texture, glow=glow)
        self.quad((x0, y1, z1), (w, 0, 0), (0, -d, 0), top_texture, glow=glow)
        if bottom:
            self.quad((x0, y0, z0), (w, 0, 0), (0, d, 0), texture, glow=glow)

    def cylinder(
        self,
        centre: Sequence[float],
        radius: float,
        height: float,
        texture: int,
        *,
        top_radius: float | None = None,
        top: int | None = None,
        sides: int = 14,
        glow: float = 0.0,
    ) -> None:
        """Add an upright cylinder or cone stump standing on `centre`, with a lid."""
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
        base = np.asarray(centre, float)
        upper = base + np.array([0, 0, height])
        r_top = radius if top_radius is None else top_radius
        levels = max(1, int(np.ceil(height / self.cell_m)))
        fraction = np.linspace(0, 1, levels + 1)
        rings = [upper + (base - upper) * f + ring * (r_top + (radius - r_top) * f) for f in fraction]
        i = (np.arange(levels)[:, None] * (sides + 1) + np.arange(sides)).ravel()
        j = i + sides + 1
        faces = np.concatenate([np.stack([i, j, i + 1], axis=1), np.stack([i + 1, j, j + 1], axis=1)])
        coordinates = np.stack(
            [np.tile(np.linspace(0, 1, sides + 1), levels + 1), np.repeat(fraction, sides + 1)], axis=1
        )
        self.triangles(np.concatenate(rings), faces, coordinates[faces], texture, glow)
        lid = np.concatenate([[upper], upper + ring * r_top])
        k = np.arange(1, sides + 1)
        fan = np.stack([np.zeros_like(k), k, k + 1], axis=1)
        lid_uv = np.concatenate([[[0.5, 0.5]], 0.5 + 0.5 * ring[:, :2]])
        self.triangles(lid, fan, lid_uv[fan], texture if top is None else top, glow)

    def build(self) -> TexturedMesh:
        """Return everything added so far as one mesh, not yet lit."""
        joined = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        return TexturedMesh(
            textures=tuple(self.textures), light=np.ones_like(joined["vertices"], dtype=np.float32), **joined
        )
