"""Descriptions come from what mapping images show: planted objects and relations must come out, people must not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.datasets.images import PosedImage
from reloc_ros.datasets.posed_images import read_dataset
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.scenes.descriptions import write_descriptions
from reloc_ros.scenes.vocabulary import MOVABLE, OBJECTS, SCENE_LABELS, TEMPLATES
from reloc_ros.training.describe_scenes import Clip, describe_scenes

SIDE = 7
WORDS = (*OBJECTS, *MOVABLE, *SCENE_LABELS)
PERSON, KITCHEN = WORDS.index("person"), WORDS.index("kitchen", len(OBJECTS) + len(MOVABLE))


def posed(image: np.ndarray, index: int, *, panorama: bool = False) -> PosedImage:
    height, width = image.shape[:2]
    camera = (
        EquirectangularCamera(width=width, height=height)
        if panorama
        else PinholeCamera(width=width, height=height, K=np.diag([100.0, 100.0, 1.0]))
    )
    return PosedImage(
        name=str(index), stamp_ns=index, T_map_camera=np.eye(4), camera=camera, load=lambda: image, sequence="s"
    )


class FakeText:
    """One axis for each word of the vocabulary, found in any template."""

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        words = {template.format(word): i for template in TEMPLATES for i, word in enumerate(WORDS)}
        # Scene labels repeat an object ("church"): the later index wins for both, as both are one prompt.
        return torch.eye(len(WORDS))[[words[sentence] for sentence in sentences]]


class FakeImage:
    """Reads the word of each patch from the patch's red and green, and the scene's label from its blue."""

    channels = len(WORDS)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        assert (height, width) == (224, 224)
        return SIDE, SIDE

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert images.dtype == torch.uint8
        cells = images[:, 16::32, 16::32].long()
        words = (cells[..., 0] + 256 * cells[..., 1]).flatten(1)
        places = cells[:, 0, 0, 2] + len(OBJECTS) + len(MOVABLE)
        axes = torch.eye(len(WORDS))
        # A little of every word everywhere, as real features have.
        return axes[places] + 0.1, axes[words] + 0.1


CLIP = Clip(image=FakeImage(), text=FakeText())


def patches(place: str, layout: dict[str, tuple[int, int]], background: int = PERSON) -> np.ndarray:
    """Return an image whose 7 x 7 patches carry words; each object covers two patches side by side."""
    words = np.full((SIDE, SIDE), background)
    for name, (row, column) in layout.items():
        words[row, column : column + 2] = WORDS.index(name)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = words % 256, words // 256, SCENE_LABELS.index(place)
    return image.repeat(32, axis=0).repeat(32, axis=1)


def panned(place: str, layout: dict[str, tuple[int, int]], *, panorama: bool = False) -> list[PosedImage]:
    """Return the layout as a camera sees it that moves up, down and sideways."""
    shifts = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0), (1, 0)]
    return [
        posed(
            patches(place, {name: (row + down, column + right) for name, (row, column) in layout.items()}),
            i,
            panorama=panorama,
        )
        for i, (down, right) in enumerate(shifts)
    ]


KITCHEN_LAYOUT = {"sink": (3, 2), "window": (1, 2), "refrigerator": (4, 4), "radiator": (5, 2)}


def test_planted_objects_come_out_with_their_relations_and_people_do_not():
    (scene,) = describe_scenes({"k": panned("kitchen", KITCHEN_LAYOUT)}, clip=CLIP).scenes
    assert scene.description == (
        "a kitchen with a radiator at the bottom, a refrigerator right of the radiator, a sink above the radiator and "
        "a window above the radiator."
    )


def test_an_object_of_one_scene_comes_first_and_labels_are_those_of_each_scene():
    kitchen, office = panned("kitchen", KITCHEN_LAYOUT), panned("office", {"window": (1, 2), "desk": (3, 3)})
    found = describe_scenes({"k": kitchen, "o": office}, clip=CLIP)
    assert found.describer == "clip"
    assert [one.name for one in found.notes["k"].objects] == ["radiator", "refrigerator", "sink", "window"]
    assert found.scenes[1].description == "an office with a desk in the middle and a window above the desk."
    assert (found.notes["o"].images, found.notes["o"].objects[0].images) == (6, 6)
    assert found.notes["o"].objects[0].share == pytest.approx(2 / 49, abs=1e-3)


def test_left_and_right_come_out_where_a_camera_has_them():
    layout = {"mirror": (3, 3), "door": (3, 1)}
    for panorama, expected in ((False, "a mirror right of the door"), (True, "a mirror beside the door")):
        (scene,) = describe_scenes({"b": panned("bathroom", layout, panorama=panorama)}, clip=CLIP).scenes
        assert expected in scene.description


def test_what_only_one_image_shows_is_not_stable():
    images = panned("kitchen", {"sink": (3, 2)})
    images.append(posed(patches("kitchen", {"oven": (3, 2)}), 99))
    (scene,) = describe_scenes({"k": images}, clip=CLIP).scenes
    assert scene.description == "a kitchen with a sink in the middle."


@pytest.mark.parametrize(
    ("level", "clip", "expected"),
    [
        ("none", CLIP, ["a place.", "a place."]),
        ("none", None, ["a place.", "a place."]),
        ("label", CLIP, ["a kitchen.", "an office."]),
        ("label", None, ["a red kitchen.", "an office 2."]),
    ],
)
def test_levels_of_the_ablation(level, clip, expected):
    scenes = {"red_kitchen": panned("kitchen", KITCHEN_LAYOUT), "office-2": panned("office", {"desk": (3, 3)})}
    found = describe_scenes(scenes, level=level, clip=clip)
    assert [scene.description for scene in found.scenes] == expected
    assert found.level == level


def painted(top: tuple[int, int, int], bottom: tuple[int, int, int], patch: tuple[int, int, int]) -> list[PosedImage]:
    """Return images with an upper and a lower colour and a patch low on the right, seen with noise."""
    generator = np.random.default_rng(5)
    images = []
    for i in range(6):
        image = np.empty((120, 160, 3), np.float64)
        image[: 60 + 3 * i], image[60 + 3 * i :] = top, bottom
        image[80:108, 112:152] = patch
        noisy = (image + generator.normal(0.0, 3.0, image.shape)).clip(0, 255).astype(np.uint8)
        images.append(posed(noisy, i))
    return images


def test_without_a_language_model_colours_are_named_and_telling_ones_come_first():
    white, brown = (245, 245, 245), (145, 95, 55)
    scenes = {"a": painted(white, brown, (215, 20, 25)), "b": painted(white, brown, (30, 150, 50))}
    found = describe_scenes(scenes)
    assert found.describer == "appearance"
    first, second = (scene.description for scene in found.scenes)
    assert first == (
        "an a with a red area on the right, a large brown area left of the red area and a large white area above the "
        "red area."
    )
    assert second == first.replace("an a", "a b").replace("red", "green")


def test_descriptions_stay_below_the_limit_by_naming_less():
    (scene,) = describe_scenes({"k": painted((245, 245, 245), (145, 95, 55), (215, 20, 25))}, token_limit=16).scenes
    assert scene.description.count("area") == 1


def test_scenes_that_look_the_same_are_pointed_out(caplog):
    same = panned("kitchen", KITCHEN_LAYOUT)
    describe_scenes({"left": same, "right": same}, clip=CLIP)
    assert "scenes left, right are described alike" in caplog.text


def test_bad_input_is_refused():
    images = panned("kitchen", {"sink": (3, 2)})
    with pytest.raises(ConfigError, match="level is 'much'; use one of none, label, detailed"):
        describe_scenes({"k": images}, level="much")
    with pytest.raises(DatasetError, match="scene 'k' has no image"):
        describe_scenes({"k": []})
    with pytest.raises(ConfigError, match="scenes are none"):
        describe_scenes({})

    class Narrow(FakeImage):
        channels = 3

    with pytest.raises(ConfigError, match="image tower 3, expected the same"):
        describe_scenes({"k": images}, clip=Clip(image=Narrow(), text=FakeText()))


def test_real_scenes_are_told_apart_alike_by_odd_and_even_images_and_byte_for_byte(shared_data: Path, tmp_path: Path):
    places = {"redkitchen": "seven_scenes", "office": "transforms_json", "phone_desk": "transforms_json"}
    images = {name: read_dataset(f"{kind}:{shared_data / name}").images for name, kind in places.items()}
    for run in ("first", "second"):
        write_descriptions(tmp_path / run, describe_scenes(images))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    even, odd = (describe_scenes({name: some[start::2] for name, some in images.items()}) for start in (0, 1))
    for name in places:
        best_even, best_odd = ({one.name for one in half.notes[name].objects[:3]} for half in (even, odd))
        assert len(best_even & best_odd) >= 2
    assert "dark red" in even.scenes[0].description, "the cabinets of the red kitchen"
    assert "black" in even.scenes[1].description, "the doors and chairs of the office"
    assert len({scene.description for scene in even.scenes}) == len(places)
