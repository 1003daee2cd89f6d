"""Sentences that describe a scene."""

from __future__ import annotations

import pytest

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.compose import choose, compose, label_from_name
from reloc_ros.scenes.sightings import Relation, SceneObject
from reloc_ros.scenes.vocabulary import MOVABLE, OBJECTS, PLACES, RELATIONS, SCENE_LABELS


def seen(name: str, score: float = 1.0) -> SceneObject:
    return SceneObject(name=name, score=score, images=5, x=0.0, y=0.0, share=0.1)


def related(name: str, relation: str | None) -> Relation:
    return Relation(name=name, relation=relation, anchor="sink")


OBJECTS_SEEN = [seen("sink"), seen("oven"), seen("window"), seen("door")]
RELATIONS_SEEN = [related("oven", "right of"), related("window", "above"), related("door", None)]


def test_a_sentence_names_place_objects_and_relations():
    sentence = compose("kitchen", OBJECTS_SEEN, RELATIONS_SEEN, "in the middle", fits=lambda text: True)
    assert sentence == (
        "a kitchen with a sink in the middle, an oven right of the sink, a window above the sink and a door elsewhere."
    )


def test_the_last_objects_give_way_where_a_sentence_is_too_long():
    def at_most(count: int) -> str:
        return compose("office", OBJECTS_SEEN, RELATIONS_SEEN, "on the left", fits=lambda t: len(t.split()) <= count)

    assert at_most(15) == "an office with a sink on the left and an oven right of the sink."
    assert at_most(2) == "an office."
    with pytest.raises(ConfigError, match="'office' alone is longer"):
        at_most(1)


def test_a_scene_without_stable_objects_is_its_label():
    assert compose("office", [], [], "", fits=lambda text: True) == "an office."


def test_three_to_five_objects_are_chosen_and_one_of_each_kind():
    objects = [seen("red"), seen("textured red", 0.9), seen("grey", 0.6), seen("blue", 0.5)]
    objects += [seen("green", 0.45), seen("white", 0.44), seen("brown", 0.43)]
    chosen = choose(objects, lambda name: name.split()[-1])
    assert [one.name for one in chosen] == ["red", "grey", "blue", "green", "white"]
    faint = [seen("a"), seen("b", 0.2), seen("c", 0.1), seen("d", 0.09)]
    assert [one.name for one in choose(faint, str)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "label"), [("phone_desk", "phone desk"), ("Third-Floor/A", "third floor a"), ("_", "place")]
)
def test_labels_are_names_as_people_say_them(name, label):
    assert label_from_name(name) == label


def test_the_vocabulary_has_no_word_twice_and_no_movable_object():
    everything = (*OBJECTS, *MOVABLE)
    assert len(set(everything)) == len(everything) > 150
    assert {"person", "car", "dog", "bag", "chair"} <= set(MOVABLE)
    assert len(set(SCENE_LABELS)) == len(SCENE_LABELS) >= 30
    assert set(RELATIONS) == {"left of", "right of", "above", "below", "beside"}
    assert "in the middle" in PLACES
