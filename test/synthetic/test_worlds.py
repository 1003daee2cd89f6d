"""The apartment is furnished, lit, repeatable and can be driven through; mesh files are read as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.apartment import build_apartment
from reloc_ros.synthetic.free_space import floor_height, free_space
from reloc_ros.synthetic.mesh_file import read_mesh
from reloc_ros.synthetic.robot import Robot
from reloc_ros.synthetic.worlds import World, load_world

ROOMS = {"living", "kitchen", "hall", "bedroom", "bath", "study"}


def test_apartment_has_six_rooms_that_can_all_be_reached(apartment: World) -> None:
    assert set(apartment.rooms) == ROOMS
    robot = Robot()
    space = free_space(apartment.mesh, robot.radius_m, robot.height_m)
    for area in apartment.rooms.values():
        assert space.share_of(area) > 0.12
    low, high = apartment.mesh.bounds
    assert 9 < high[0] - low[0] < 12
    assert 2.4 < high[2] < 2.7


def test_apartment_is_lit_without_holes(apartment: World) -> None:
    assert np.isfinite(apartment.mesh.light).all()
    assert apartment.mesh.light.min() > 0
    assert 0.1 < np.median(apartment.mesh.light) < 2.0


def test_same_seed_same_flat_and_another_seed_another_flat(apartment: World) -> None:
    again, other = build_apartment(0), build_apartment(1)
    assert np.array_equal(again.mesh.vertices, apartment.mesh.vertices)
    assert all(np.array_equal(a, b) for a, b in zip(again.mesh.textures, apartment.mesh.textures, strict=True))
    assert other.mesh.vertices.shape != apartment.mesh.vertices.shape


def test_too_wide_a_robot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reloc_ros.synthetic.apartment.MAX_ATTEMPTS", 1)
    with pytest.raises(DatasetError, match="radius"):
        build_apartment(0, robot_radius_m=0.6)


def test_unknown_world_lists_the_choices() -> None:
    with pytest.raises(DatasetError, match="apartment"):
        load_world("castle")


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_mesh_file_keeps_transforms_and_colours(tmp_path: Path, suffix: str) -> None:
    scene = trimesh.Scene()
    for x, rgb in ((0.0, (250, 10, 20)), (5.0, (10, 240, 30))):
        box = trimesh.creation.box((1.0, 2.0, 0.5))
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=[*rgb, 255])
        if suffix == ".obj":
            material = material.to_simple()
        uv = np.zeros((len(box.vertices), 2))
        box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        move = trimesh.transformations.translation_matrix([x, 1.0, 0.25])
        scene.add_geometry(box, transform=move)
    path = tmp_path / f"boxes{suffix}"
    scene.export(path)
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.bounds, [[-0.5, 0.0, 0.0], [5.5, 2.0, 0.5]], atol=1e-6)
    right = mesh.face_texture[mesh.triangles[:, :, 0].min(axis=1) > 4]
    colours = {tuple(np.asarray(mesh.textures[k])[0, 0].tolist()) for k in right}
    assert len(colours) == 1
    np.testing.assert_allclose(colours.pop(), (10, 240, 30), atol=2)
    edges = np.linalg.norm(mesh.triangles - np.roll(mesh.triangles, 1, axis=1), axis=2)
    assert edges.max() < 0.5


def test_texture_of_a_mesh_file_is_the_right_way_up(tmp_path: Path) -> None:
    from PIL import Image as Picture

    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (255, 0, 0)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Picture.fromarray(pixels))
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1.0]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    quad = trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    path = tmp_path / "quad.glb"
    trimesh.Scene(quad).export(path)
    mesh = read_mesh(path, cell_m=10.0)
    # Our v grows downwards: the upper edge (z = 1) has v = 0, the first row of the picture, red.
    corners, v = mesh.triangles.reshape(-1, 3), mesh.uv.reshape(-1, 2)[:, 1]
    np.testing.assert_allclose(v, 1.0 - corners[:, 2], atol=1e-6)
    assert mesh.textures[0][0, 0, 0] == 255


@pytest.mark.parametrize(("name", "content"), [("gone.glb", None), ("broken.glb", b"glTF but not really")])
def test_unreadable_mesh_file_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=name):
        read_mesh(path)


@pytest.mark.parametrize(("name", "floor_m"), [("living_room", 0.0), ("bathroom", 0.0), ("dining_room", -1.42)])
def test_real_interior_has_a_floor_and_room_for_a_robot(shared_data: Path, name: str, floor_m: float) -> None:
    mesh = read_mesh(shared_data / "meshes" / f"{name}.glb", cell_m=2.0)
    assert floor_height(mesh) == pytest.approx(floor_m, abs=0.06)
    space = free_space(mesh, 0.15, 0.6, floor_height(mesh))
    assert space.free.sum() * space.resolution**2 > 1.0
