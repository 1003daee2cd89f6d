"""Shapes face the right way and carry their textures the right way up."""

from __future__ import annotations

import numpy as np
import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.lighting import vertex_normals
from reloc_ros.synthetic.mesh import LIGHT_CELL_M, MeshBuilder, TexturedMesh


def test_box_faces_point_outwards_and_cells_are_small() -> None:
    builder = MeshBuilder()
    builder.box((1.0, 2.0, 0.0), (1.5, 4.0, 0.7), builder.colour((9, 8, 7)), bottom=True)
    mesh = builder.build()
    centre = np.array([1.25, 3.0, 0.35])
    outwards = mesh.vertices - centre
    assert (np.einsum("ij,ij->i", outwards, vertex_normals(mesh)) > 0).all()
    edges = np.linalg.norm(mesh.triangles - np.roll(mesh.triangles, 1, axis=1), axis=2)
    assert edges.max() <= LIGHT_CELL_M * np.sqrt(2) + 1e-5
    np.testing.assert_allclose(mesh.bounds, [[1.0, 2.0, 0.0], [1.5, 4.0, 0.7]], atol=1e-6)


def test_front_of_a_box_shows_its_texture_upright_and_not_mirrored() -> None:
    builder = MeshBuilder()
    plain = builder.colour((0, 0, 0))
    front = builder.colour((255, 255, 255))
    builder.box((-1.0, -0.5, 0.0), (1.0, 0.5, 2.0), plain, front=front)
    mesh = builder.build()
    faces = mesh.face_texture == front
    corners, uv = mesh.triangles[faces].reshape(-1, 3), mesh.uv[faces].reshape(-1, 2)
    assert np.allclose(corners[:, 1], 0.5)
    # A viewer at +y looks along -y: +x is on the left, where u is 0; the top row of the picture is v = 0.
    np.testing.assert_allclose(uv[:, 0], (1.0 - corners[:, 0]) / 2, atol=1e-6)
    np.testing.assert_allclose(uv[:, 1], (2.0 - corners[:, 2]) / 2, atol=1e-6)


def test_placements_nest() -> None:
    builder = MeshBuilder()
    texture = builder.colour((1, 2, 3))
    with builder.placed(10.0, 0.0, 0.0, np.pi / 2), builder.placed(2.0, 1.0, 0.5):
        builder.quad((0, 0, 0), (0.1, 0, 0), (0, 0, -0.1), texture)
    # Turned by 90 degrees, (2, 1) goes to (-1, 2).
    np.testing.assert_allclose(builder.build().vertices[0], [9.0, 2.0, 0.5], atol=1e-6)


def test_cylinder_is_closed_on_top_and_round() -> None:
    builder = MeshBuilder()
    builder.cylinder((1.0, 1.0, 0.2), 0.3, 0.5, builder.colour((5, 5, 5)), top_radius=0.1, sides=24)
    mesh = builder.build()
    radius = np.hypot(mesh.vertices[:, 0] - 1.0, mesh.vertices[:, 1] - 1.0)
    assert radius[np.isclose(mesh.vertices[:, 2], 0.2)].min() == pytest.approx(0.3, abs=1e-5)
    assert mesh.vertices[:, 2].max() == pytest.approx(0.7)
    assert (vertex_normals(mesh)[np.isclose(mesh.vertices[:, 2], 0.7), 2] > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices": np.full((3, 3), np.nan, np.float32)}, "finite"),
        ({"uv": np.zeros((2, 3, 2), np.float32)}, "disagree"),
        ({"face_texture": np.array([1], np.int32)}, "does not have"),
    ],
)
def test_broken_meshes_are_refused(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "vertices": np.eye(3, dtype=np.float32),
        "faces": np.array([[0, 1, 2]], np.int32),
        "uv": np.zeros((1, 3, 2), np.float32),
        "face_texture": np.zeros(1, np.int32),
        "face_glow": np.zeros(1, np.float32),
        "textures": (np.zeros((2, 2, 3), np.uint8),),
        "light": np.ones((3, 3), np.float32),
    }
    TexturedMesh(**good)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=message):
        TexturedMesh(**{**good, **change})  # type: ignore[arg-type]
