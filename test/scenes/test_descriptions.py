"""The scenes file: read strictly, written the same for the same content, edits kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.descriptions import (
    MachineNote,
    SceneDescription,
    SceneDescriptions,
    merge,
    read_descriptions,
    write_descriptions,
)
from reloc_ros.scenes.sightings import SceneObject

SINK = SceneObject(name="sink", score=0.7, images=9, x=-0.25, y=0.5, share=0.125)
KITCHEN = SceneDescription(
    name="kitchen", description="a kitchen with a sink.", map_frame="map_kitchen", data=("tum:/data/k", "tum:/data/l")
)
OFFICE = SceneDescription(name="office", description="an office.")


def written() -> SceneDescriptions:
    notes = {
        "kitchen": MachineNote(sentence="a kitchen with a sink.", images=24, objects=(SINK,)),
        "office": MachineNote(sentence="an office.", images=12),
    }
    return SceneDescriptions(scenes=(KITCHEN, OFFICE), describer="clip", level="detailed", notes=notes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "scenes.yaml"


def test_what_is_written_is_read_and_written_again_byte_for_byte(path: Path) -> None:
    write_descriptions(path, written())
    first = path.read_bytes()
    assert read_descriptions(path) == written()
    write_descriptions(path, read_descriptions(path))
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["scenes.yaml"]


def test_a_file_of_a_person_needs_names_and_descriptions_only(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("scenes:\n- name: lab\n  description: a lab  with\n    two robots\n")
    descriptions = read_descriptions(path)
    assert descriptions.scenes == (SceneDescription(name="lab", description="a lab with two robots"),)
    assert descriptions.edited("lab")


def test_edited_descriptions_and_frames_survive_a_new_run(path: Path) -> None:
    write_descriptions(path, written())
    path.write_text(path.read_text().replace("description: a kitchen with a sink.", "description: our own words"))
    old = read_descriptions(path)
    assert (old.edited("kitchen"), old.edited("office")) == (True, False)
    new = written()
    again = [
        replace(scene, description=f"new {scene.name}", map_frame="map", data=("tum:/new",)) for scene in new.scenes
    ]
    notes = {scene.name: MachineNote(sentence=scene.description, images=3) for scene in again}
    kept = merge(replace(new, scenes=tuple(again[:1]), notes={"kitchen": notes["kitchen"]}), old)
    kitchen, office = kept.scenes
    assert (kitchen.description, kitchen.map_frame, kitchen.data) == ("our own words", "map_kitchen", ("tum:/new",))
    assert kept.edited("kitchen")
    assert office == OFFICE, "a scene that the new run does not have stays"
    rewritten = merge(replace(new, scenes=tuple(again), notes=notes), old)
    assert rewritten.select(["office"])[0].description == "new office"
    forced = merge(replace(new, scenes=tuple(again), notes=notes), old, keep_edited=False)
    assert [scene.description for scene in forced.scenes] == ["new kitchen", "new office"]
    assert forced.scenes[0].map_frame == "map_kitchen", "no describer knows the frame"


def test_missing_scenes_are_named() -> None:
    assert written().select(["office", "kitchen"]) == (OFFICE, KITCHEN)
    with pytest.raises(ConfigError, match=r"scene 'lab' has no description, described are kitchen, office; add it"):
        written().select(["office", "lab"])


LONG = "word " * 76
GOOD = "- {name: a, description: b}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scenes: [" + GOOD[2:] + "]\nscene: 1",
            r"the file has the unknown key 'scene'; known keys are scenes, machine",
        ),
        ("{}", r"the file lacks the key 'scenes'"),
        ("scenes: []", r"the scenes are none"),
        ("scenes: 5", r"scenes is 5, expected a list"),
        ("scenes: [{name: a, description: b, colour: c}]", r"scenes\[0\] has the unknown key 'colour'"),
        ("scenes: [{name: a}]", r"scenes\[0\] lacks the key 'description'"),
        ("scenes: [{name: '', description: b}]", r"scenes\[0\]: name is empty"),
        ("scenes: [{name: 7, description: b}]", r"scenes\[0\]: name is 7, expected text; put it in quotes"),
        ("scenes: [{name: a, description: ' . '}]", r"description of scene 'a' is empty"),
        ("scenes: [{name: a, description: }]", r"description of scene 'a' is NoneType None, expected a sentence"),
        (
            f"scenes: [{{name: a, description: {LONG}}}]",
            r"scene 'a' is 78 tokens long, the limit is 77 .*shorten 'word",
        ),
        (f"scenes:\n{GOOD}\n{GOOD}\n", r"2 scenes are named 'a'; give each scene a name of its own"),
        ("scenes: [{name: a, description: b, data: tum:x}]", r"scenes\[0\]: data is 'tum:x', expected a list"),
        (f"scenes:\n{GOOD}\nmachine: {{scenes: [{{name: a}}]}}", r"machine: scenes\[0\] lacks the key 'sentence'"),
        ("scenes: [", r"is not YAML"),
    ],
)
def test_faults_name_file_value_and_remedy(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_descriptions(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_how_to_write_one(path: Path) -> None:
    with pytest.raises(ConfigError, match="reloc describe"):
        read_descriptions(path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/scenes.yaml cannot be written: .*; choose another place"):
        write_descriptions(tmp_path / "file" / "scenes.yaml", written())


def test_length_is_judged_by_the_given_counter(path: Path) -> None:
    write_descriptions(path, written())
    assert read_descriptions(path, count_tokens=len, token_limit=22)
    with pytest.raises(ConfigError, match="'kitchen' is 22 tokens long, the limit is 21"):
        read_descriptions(path, count_tokens=len, token_limit=21)
