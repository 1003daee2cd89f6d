"""A CLIP checkpoint on disk names patches with `reloc describe --clip`; a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import box_room
import pytest
import torch
from tiny_clip import write_clip

from reloc_ros.cli.main import main
from reloc_ros.errors import ConfigError
from reloc_ros.scenes.compose import with_article
from reloc_ros.scenes.descriptions import read_descriptions
from reloc_ros.scenes.token_count import TOKEN_LIMIT
from reloc_ros.scenes.vocabulary import MOVABLE, OBJECTS, SCENE_LABELS
from reloc_ros.training.clip_towers import load_clip

pytest.importorskip("transformers", reason="transformers is not installed (extra: train)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


def test_a_checkpoint_on_disk_describes_scenes_within_its_own_token_limit(folder: Path, tmp_path: Path) -> None:
    poses = [box_room.pose(0.05 * i - 0.4, 0.06 * i - 0.3, 0.02 * i, 0.04 * i) for i in range(6)]
    box_room.write_sequence(tmp_path / "room", box_room.pinhole(80, 60), poses)
    command = ["describe", "--data", f"room=panorama_sequences:{tmp_path / 'room'}", "--clip", str(folder)]
    for out in ("first", "second"):
        assert main([*command, "--out", str(tmp_path / out)]) == 0
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    count_tokens = load_clip(folder).count_tokens
    found = read_descriptions(tmp_path / "first", count_tokens=count_tokens)
    (scene,) = found.scenes
    assert found.describer == "clip"
    assert scene.description.rstrip(".").split(" with ")[0] in {with_article(label) for label in SCENE_LABELS}
    assert count_tokens(scene.description) <= TOKEN_LIMIT
    seen = {one.name for one in found.notes["room"].objects}
    assert seen <= set(OBJECTS)
    assert not seen & set(MOVABLE)


def test_both_towers_see_one_space(folder: Path) -> None:
    clip = load_clip(folder)
    assert clip.image.grid(clip.side_px, clip.side_px) == (7, 7)
    with torch.no_grad():
        whole, patches = clip.image(torch.zeros(2, clip.side_px, clip.side_px, 3, dtype=torch.uint8))
        assert clip.text(["a sink", "a door"]).shape == whole.shape == (2, clip.image.channels)
    assert patches.shape == (2, 49, clip.image.channels)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load_clip(tmp_path)
    assert main(["describe", "--data", "a=tum:/x", "--out", str(tmp_path / "o"), "--clip", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
