"""What a set of worlds consists of, its manifest, and that it is rendered once, whole and the same by any number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trimesh

from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.world_set import WorldSet
from reloc_ros.synthetic.world_set_manifest import SetManifest
from reloc_ros.synthetic.world_set_render import Stopped, WorldRecord, render_world
from reloc_ros.synthetic.world_set_run import Event, render_set


def box_room(path: Path, size: tuple[float, float, float]) -> Path:
    """Write an empty room as a mesh file."""
    box = trimesh.creation.box(size)
    box.apply_translation([0.5 * s for s in size])
    box.export(path)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> WorldSet:
    """Two small rooms, one of them unseen, and a cupboard that no robot fits into."""
    return WorldSet(
        worlds=0,
        unseen_worlds=0,
        meshes=(
            box_room(tmp_path / "parlour.glb", (4.0, 3.0, 2.5)),
            box_room(tmp_path / "cupboard.glb", (0.3, 0.3, 2.0)),
        ),
        unseen_meshes=(box_room(tmp_path / "attic.glb", (3.0, 5.0, 2.2)),),
        width=32,
        height=16,
        heights_m=(0.1, 1.7),
        trajectories=1,
        length_m=(1.0, 1.5),
    )


def in_this_process(settings: WorldSet, out: Path) -> dict[str, WorldRecord]:
    """Render a set as `render_set` does, without other processes."""
    manifest, records = SetManifest(out, settings), {}
    for spec in settings.specs():
        if spec.name not in manifest.finished:
            records[spec.name] = render_world(spec, settings, out, lambda *_: None)
            manifest.add(records[spec.name])
    return records


def files(out: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def manifest_of(out: Path) -> dict[str, Any]:
    """Read the manifest."""
    content: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    return content


def test_unseen_worlds_are_the_last_and_seeds_are_their_own() -> None:
    specs = WorldSet(seed=3, worlds=9, unseen_worlds=2).specs()
    assert {spec.name for spec in specs if spec.split == "unseen"} == {"interior_0007", "interior_0008"}
    assert [spec.split for spec in specs] == 2 * ["unseen"] + 7 * ["seen"]
    assert len({spec.seed for spec in specs}) == 9
    assert not {spec.seed for spec in specs} & {spec.seed for spec in WorldSet(seed=4, worlds=9).specs()}


def test_every_camera_and_height_has_a_sequence_of_its_own() -> None:
    settings = WorldSet(model="pinhole", fov_deg=(60.0, 120.0), heights_m=(0.1, 0.5, 1.7))
    names = [name for name, *_ in settings.sequences("interior_0003", 2)]
    assert len(set(names)) == 6
    assert names[-1] == "interior_0003_t2_h170_fov120"
    focal = [camera.to_dict()["K"][0][0] for camera in settings.cameras().values()]
    assert focal[0] == pytest.approx(3.0 * focal[1])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"worlds": 3, "unseen_worlds": 4}, "unseen"),
        ({"worlds": 0, "unseen_worlds": 0}, "--worlds"),
        ({"length_m": (5.0, 3.0)}, "length"),
        ({"spacing_m": (0.0, 0.2)}, "spacing"),
        ({"heights_m": (2.5,)}, "2.5"),
        ({"meshes": (Path("a/hall.glb"), Path("b/hall.ply"))}, "hall"),
    ],
)
def test_nonsense_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(DatasetError, match=named):
        WorldSet(**wrong)


def test_estimate_grows_with_what_is_asked_for_and_shrinks_with_processes() -> None:
    one = WorldSet(worlds=10, trajectories=1).estimate(1)
    assert WorldSet(worlds=10, trajectories=3).estimate(1).images == pytest.approx(3 * one.images, rel=0.01)
    larger = WorldSet(worlds=10, trajectories=1, width=512, height=256).estimate(1)
    assert larger.size_bytes == pytest.approx(4 * one.size_bytes, rel=1e-6)
    assert WorldSet(worlds=10, trajectories=1).estimate(4).seconds == pytest.approx(one.seconds / 4)


def test_set_is_complete_split_and_read_back(settings: WorldSet, tmp_path: Path) -> None:
    out = tmp_path / "set"
    in_this_process(settings, out)
    manifest = manifest_of(out)
    assert manifest["complete"]
    assert manifest["settings"]["meshes"][0]["name"] == "parlour.glb"
    assert not (out / ".partial").exists()
    skipped = {world["name"]: world["skipped"] for world in manifest["worlds"]}
    assert "fits nowhere" in skipped["cupboard"]
    assert skipped["parlour"] == skipped["attic"] == ""
    for split, world in (("seen", "parlour"), ("unseen", "attic")):
        dataset = read_dataset(f"panorama_sequences:{out / split}")
        recorded = {s["name"]: s for s in manifest["sequences"] if s["split"] == split}
        assert {image.sequence for image in dataset.images} == set(recorded) == {f"{world}_t0_h010", f"{world}_t0_h170"}
        assert len(dataset.images) == sum(s["frames"] for s in recorded.values())
        assert {image.height_m for image in dataset.images} == {0.1, 1.7}
        assert {image.world.split(":")[0] for image in dataset.images} == {world}
        assert all(0.7 < s["path_length_m"] < 1.6 for s in recorded.values())
        assert dataset.images[0].frame().image.shape == (16, 32, 3)


def test_several_processes_write_what_one_writes(settings: WorldSet, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    in_this_process(settings, one)
    events: list[Event] = list(render_set(settings, two, SetManifest(two, settings), 2))
    assert files(two) == files(one)
    done = [event for event in events if event.kind == "done"]
    assert {event.world for event in done} == {"parlour", "cupboard", "attic"}
    images = sum(event.value for event in events if event.kind == "image")
    assert images == manifest_of(two)["images"] == sum(event.value for event in done)
    for world in ("parlour", "attic"):
        light = [event.value for event in events if event.kind == "light" and event.world == world]
        assert light == sorted(light)
        assert light[-1] == 1.0


def test_interrupted_set_goes_on_with_what_is_missing(settings: WorldSet, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "set"
    in_this_process(settings, whole)
    manifest, parlour = SetManifest(out, settings), settings.specs()[1]
    count = 0

    def stop_in_the_second_sequence(kind: str, _: float) -> None:
        nonlocal count
        count += kind == "image"
        if count > manifest_of(whole)["sequences"][-1]["frames"] + 1:
            raise Stopped

    with pytest.raises(Stopped):
        render_world(parlour, settings, out, stop_in_the_second_sequence)
    assert [path.name for path in (out / "seen").iterdir()] == ["parlour_t0_h010"]
    kept = out / "seen" / "parlour_t0_h010" / "frames" / "000000.jpg"
    written_ns = kept.stat().st_mtime_ns
    assert manifest.finished == frozenset()
    in_this_process(settings, out)
    assert files(out) == files(whole)
    assert kept.stat().st_mtime_ns == written_ns
    assert in_this_process(settings, out) == {}
    # A sequence that was deleted is rendered again.
    (out / "unseen" / "attic_t0_h170" / "poses.txt").unlink()
    for path in sorted((out / "unseen" / "attic_t0_h170").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (out / "unseen" / "attic_t0_h170").rmdir()
    assert set(in_this_process(settings, out)) == {"attic"}
    assert files(out) == files(whole)


def test_other_settings_are_named(settings: WorldSet, tmp_path: Path) -> None:
    from dataclasses import replace

    out = tmp_path / "set"
    SetManifest(out, settings)
    SetManifest(out, settings)
    with pytest.raises(DatasetError, match=r"trajectories 1 instead of 2"):
        SetManifest(out, replace(settings, trajectories=2))


def test_folder_of_somebody_else_is_left_alone(settings: WorldSet, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "draft.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(DatasetError, match="not empty"):
        SetManifest(tmp_path / "thesis", settings)
    with pytest.raises(DatasetError, match=r"draft\.txt"):
        SetManifest(tmp_path / "thesis" / "draft.txt" / "set", settings)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["draft.txt"]


def test_full_disk_is_a_message(settings: WorldSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "set"
    SetManifest(out, settings)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DatasetError, match=r"No space left.*disk is not full"):
        render_world(settings.specs()[1], settings, out, lambda *_: None)
    assert list((out / "seen").iterdir()) == []


def test_no_process_is_refused(settings: WorldSet, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least 1"):
        next(render_set(settings, tmp_path / "set", SetManifest(tmp_path / "set", settings), 0))
