"""Meshes from glTF, GLB, OBJ or PLY files, with their scene graph, colours and textures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.mesh import LIGHT_CELL_M, Floats, TexturedMesh
from reloc_ros.types import Array, Image

MESH_SUFFIXES = frozenset({".glb", ".gltf", ".obj", ".ply"})
MAX_FACES = 3_000_000
GREY = (200, 200, 200)


def read_mesh(path: Path, cell_m: float = 2.5 * LIGHT_CELL_M) -> TexturedMesh:
    """Return the triangles of a mesh file in one frame, cut so that no edge is longer than `cell_m`.

    The file's axes and unit are kept: z up, metres is expected.

    Raises:
        DatasetError: the file is missing, unreadable, empty or too large.
    """
    if not path.is_file():
        raise DatasetError(f"mesh file {path} does not exist")
    try:
        scene = trimesh.load_scene(path)
    except Exception as error:  # trimesh raises whatever its parsers raise
        raise DatasetError(f"mesh file {path} cannot be read: {error}") from error
    corners, uvs, texture_of = [], [], []
    textures: list[Image] = []
    for node in scene.graph.nodes_geometry:
        T_map_node, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh) or len(geometry.faces) == 0:
            continue
        vertices = trimesh.transformations.transform_points(geometry.vertices, T_map_node)
        image, uv = _appearance(geometry)
        part, part_uv = _cut(vertices[geometry.faces].astype(np.float32), uv.astype(np.float32), cell_m, path)
        corners.append(part)
        uvs.append(part_uv)
        texture_of.append(np.full(len(part), len(textures), np.int32))
        textures.append(image)
    if not corners:
        raise DatasetError(f"mesh file {path} contains no triangles")
    soup = np.concatenate(corners)
    vertices, faces = _shared_vertices(soup)
    return TexturedMesh(
        vertices=vertices,
        faces=faces,
        uv=np.concatenate(uvs),
        face_texture=np.concatenate(texture_of),
        face_glow=np.zeros(len(soup), np.float32),
        textures=tuple(textures),
        light=np.ones_like(vertices),
    )


def _appearance(geometry: Any) -> tuple[Image, Array]:
    """Return the texture of a part and (F, 3, 2) its coordinates with v downwards (files have it upwards)."""
    visual = geometry.visual
    material = getattr(visual, "material", None)
    picture = getattr(material, "baseColorTexture", None)
    picture = getattr(material, "image", None) if picture is None else picture
    factor = np.asarray(getattr(material, "main_color", (*GREY, 255)), float)[:3]
    uv = getattr(visual, "uv", None)
    if picture is not None and uv is not None:
        pixels = np.asarray(picture.convert("RGB"))
        tint = getattr(material, "baseColorFactor", None)
        if tint is not None:
            pixels = np.rint(pixels * (np.asarray(tint, float)[:3] / 255.0)).astype(np.uint8)
        return pixels, (np.asarray(uv) * [1.0, -1.0] + [0.0, 1.0])[geometry.faces]
    if getattr(visual, "kind", None) in {"vertex", "face"}:
        factor = np.asarray(visual.main_color, float)[:3]
    return np.full((4, 4, 3), factor, np.uint8), np.full((len(geometry.faces), 3, 2), 0.5)


def _cut(corners: Floats, uv: Floats, cell_m: float, path: Path) -> tuple[Floats, Floats]:
    """Quarter triangles until no edge is longer than `cell_m`: light is baked at their corners."""
    done, done_uv = [], []
    while len(corners):
        longest = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
        small = longest <= cell_m
        done.append(corners[small])
        done_uv.append(uv[small])
        corners, uv = _quarter(corners[~small]), _quarter(uv[~small])
        if sum(map(len, done)) + len(corners) > MAX_FACES:
            raise DatasetError(f"mesh file {path} needs more than {MAX_FACES} triangles; check that it is in metres")
    return np.concatenate(done), np.concatenate(done_uv)


def _shared_vertices(corners: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """Return (V, 3) vertices and (F, 3) faces of (F, 3, 3) corners.

    Corners are one vertex where their places and, nearly, their faces' normals agree: light is baked once for each
    vertex, and across a sharp edge it must be able to change.
    """
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    keys = np.concatenate(
        [np.rint(corners * 1e4), np.broadcast_to(np.rint(normal * 3)[:, None], corners.shape)], axis=2
    )
    rows = np.ascontiguousarray(keys.reshape(-1, 6), np.int32)
    _, first, vertex = np.unique(rows.view(f"V{rows.dtype.itemsize * 6}"), return_index=True, return_inverse=True)
    return corners.reshape(-1, 3)[first], vertex.reshape(-1, 3).astype(np.int32)


def _quarter(corners: Floats) -> Floats:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
