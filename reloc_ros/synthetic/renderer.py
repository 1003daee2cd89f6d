"""Pictures of a world by ray casting, for any camera that knows its rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from reloc_ros.cameras.camera import Camera
from reloc_ros.synthetic.camera_look import CameraLook, develop
from reloc_ros.synthetic.lighting import look_up_outdoors
from reloc_ros.synthetic.mesh import Floats, TexturedMesh
from reloc_ros.synthetic.ray_caster import RayCaster
from reloc_ros.synthetic.texture_atlas import TextureAtlas
from reloc_ros.types import Array, Image

SUBPIXELS_PX = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))
"""Rotated grid: four rays through every pixel in which an edge runs."""
FEW_SUBPIXELS_PX = ((-0.25, -0.1), (0.25, 0.1))
"""Two, for pictures by the ten thousand."""


@dataclass(frozen=True)
class _Rays:
    """Rays of one camera: through the centres (N, 3), through the sub-pixels (S, N, 3), radians across a pixel (N,)."""

    centres: Floats
    subpixels: Floats
    pixel_rad: Floats


class Renderer:
    """Renders a lit mesh.

    Textures are filtered by mip level; pixels in which the surface changes get several rays instead of one.
    """

    def __init__(
        self, mesh: TexturedMesh, outdoors: Image, subpixels_px: tuple[tuple[float, float], ...] = SUBPIXELS_PX
    ) -> None:
        """Prepare a mesh; rays that leave it see the equirectangular picture `outdoors`.

        `subpixels_px` are the places of the rays of a pixel in which an edge runs, from its centre.
        """
        self._subpixels_px = subpixels_px
        self._caster = RayCaster(mesh.triangles)
        self._atlas = TextureAtlas(mesh.textures)
        self._outdoors = outdoors
        corners = mesh.triangles
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.maximum(np.linalg.norm(cross, axis=1), 1e-12)
        normal = (cross / area[:, None]).astype(np.float32)
        texels = np.abs(_uv_cross(mesh.uv)) * self._atlas.size[mesh.face_texture].prod(axis=1)
        log_density = (0.5 * np.log2(np.maximum(texels / area, 1e-12))).astype(np.float32)
        self._texture = mesh.face_texture
        # One row for each number that a ray needs of the face it met: whole rows are quick to compute with.
        self._faces = np.concatenate(
            [
                _corner_and_edges(mesh.uv),
                _corner_and_edges(mesh.light[mesh.faces]),
                normal,
                log_density[:, None],
                mesh.face_glow[:, None],
            ],
            axis=1,
        ).T.astype(np.float32, order="C")
        self._surface = _surfaces(mesh, normal)
        self._rays: dict[str, _Rays] = {}

    def render(
        self, camera: Camera, T_map_camera: Array, look: CameraLook | None = None, rng: Generator | None = None
    ) -> Image:
        """Return the (H, W, 3) uint8 RGB picture a camera at T_map_camera (4, 4) takes."""
        return develop(self.light(camera, T_map_camera), look or CameraLook(), rng)

    def light(self, camera: Camera, T_map_camera: Array) -> Floats:
        """Return (H, W, 3) linear light arriving at a camera at T_map_camera (4, 4)."""
        rays = self._rays_of(camera)
        R, t = T_map_camera[:3, :3].astype(np.float32), T_map_camera[:3, 3].astype(np.float32)
        colour, face = self._shade(rays.centres @ R.T, t, rays.pixel_rad)
        edges = np.flatnonzero(_edges(self._surface[face].reshape(camera.height, camera.width)))
        if len(edges):
            directions = rays.subpixels[:, edges].reshape(-1, 3) @ R.T
            finer, _ = self._shade(directions, t, np.tile(rays.pixel_rad[edges] * 0.5, len(self._subpixels_px)))
            # Averaged below 1.5, so that a lamp or window does not eat its frame.
            colour[edges] = np.minimum(finer.reshape(len(self._subpixels_px), -1, 3), 1.5).mean(axis=0)
        return colour.reshape(camera.height, camera.width, 3)

    def floor_plan(self, area: tuple[float, float, float, float], cut_m: float, metres_per_pixel: float) -> Image:
        """Return the world without what is higher than `cut_m`, seen straight from above, not in perspective.

        Args:
            area: x0, y0, x1, y1, metres; the first row of the picture is at y1.
            cut_m: height of the cut.
            metres_per_pixel: scale.
        """
        x0, y0, x1, y1 = area
        x = np.arange(x0 + metres_per_pixel / 2, x1, metres_per_pixel)
        y = np.arange(y1 - metres_per_pixel / 2, y0, -metres_per_pixel)
        grid_x, grid_y = np.meshgrid(x, y)
        origins = np.stack([grid_x.ravel(), grid_y.ravel(), np.full(grid_x.size, cut_m)], axis=1).astype(np.float32)
        down = np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape)
        colour, face = self._shade(down, origins, np.full(len(origins), metres_per_pixel / cut_m, np.float32))
        colour[face < 0] = 0.0
        return develop(colour.reshape(len(y), len(x), 3), CameraLook())

    def _shade(self, directions: Floats, origin: Floats, pixel_rad: Floats) -> tuple[Floats, NDArray[np.int32]]:
        """Return (N, 3) light along (N, 3) unit directions and (N,) the faces met, -1 for the outside.

        `origin` is one point (3,) or one for each ray (N, 3).
        """
        hits = self._caster.cast(np.broadcast_to(origin, directions.shape), directions)
        face, u, v = hits.face, hits.u, hits.v
        of_face = np.take(self._faces, face, axis=1, mode="clip")
        uv = of_face[0:2] + u * of_face[2:4] + v * of_face[4:6]
        light = of_face[6:9] + u * of_face[9:12] + v * of_face[12:15]
        light += of_face[19]
        cosine = np.abs((of_face[15:18] * directions.T).sum(axis=0))
        # A pixel covers 1/cos more of a slanted surface in one direction: half of it is a compromise between
        # blur across and shimmer along (no anisotropic filter).
        spread = hits.distance * pixel_rad / np.sqrt(np.maximum(cosine, 0.02))
        outside = np.flatnonzero(face < 0)
        spread[outside] = 1.0
        detail = of_face[18] + np.log2(np.maximum(spread, np.float32(1e-6)))
        texels = self._atlas.sample(np.take(self._texture, face), uv[0], uv[1], detail)
        colour = np.take(_LINEAR, texels)
        colour *= light.T
        if len(outside):
            colour[outside] = look_up_outdoors(self._outdoors, directions[outside])
        return colour, face

    def _rays_of(self, camera: Camera) -> _Rays:
        """Return the rays of a camera, computed once."""
        key = repr(camera.to_dict())
        if key not in self._rays:
            v, u = np.mgrid[: camera.height, : camera.width].astype(float)
            pixels = np.stack([u.ravel(), v.ravel()], axis=1)
            centres = camera.rays(pixels)
            right, below = np.array([0.5, 0.0]), np.array([0.0, 0.5])
            across = camera.rays(pixels + right) - camera.rays(pixels - right)
            down = camera.rays(pixels + below) - camera.rays(pixels - below)
            pixel_rad = np.sqrt(np.linalg.norm(np.cross(across, down), axis=1))
            self._rays[key] = _Rays(
                centres.astype(np.float32),
                np.stack([camera.rays(pixels + np.array(offset)) for offset in self._subpixels_px]).astype(np.float32),
                np.maximum(pixel_rad, 1e-5).astype(np.float32),
            )
        return self._rays[key]


_LINEAR = (np.arange(256, dtype=np.float32) / 255.0) ** 2
"""Linear light of each level of a texture."""


def _corner_and_edges(values: Floats) -> Floats:
    """Return (F, 3 D) the first corner's values and the differences of the others to it, of (F, 3, D) values."""
    return np.concatenate([values[:, 0], values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]], axis=1)


def _uv_cross(uv: Floats) -> Floats:
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float32)


def _surfaces(mesh: TexturedMesh, normal: Floats) -> NDArray[np.int32]:
    """Return (F,) one number for each flat surface of one texture, so that its inner cell borders are no edges."""
    offset = np.einsum("ij,ij->i", normal, mesh.triangles[:, 0])
    rows = np.concatenate([mesh.face_texture[:, None], np.rint(normal * 20), np.rint(offset * 200)[:, None]], axis=1)
    _, surface = np.unique(rows.astype(np.int64), axis=0, return_inverse=True)
    return np.append(surface.reshape(-1), -1).astype(np.int32)


def _edges(surface: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (H, W) whether a pixel shows another surface than a neighbour of it."""
    edge = np.zeros(surface.shape, bool)
    across, down = surface[:, 1:] != surface[:, :-1], surface[1:] != surface[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge
