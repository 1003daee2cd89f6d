"""An operator's sentence biases the scene, and never decides it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from reloc_ros.errors import ConfigError
from reloc_ros.scenes.prior import STRONGEST, ScenePrior

NAMES = ["redkitchen", "office", "phone_desk"]
DESCRIPTIONS = [
    "a kitchen with a sink in the middle and shelves above the sink.",
    "an office with a window on the left and a bookshelf beside the elevator.",
    "a desk with a large grey area at the top and a window.",
]


@pytest.fixture
def prior() -> ScenePrior:
    return ScenePrior(NAMES, DESCRIPTIONS)


@pytest.mark.parametrize(
    ("sentence", "scene"),
    [
        ("I am in the kitchen", 0),
        ("the RED kitchen, near the shelf", 0),
        ("third floor, near the lifts", 1),
        ("by the phone", 2),
        ("gray walls", 2),
        ("offices", 1),
    ],
)
def test_sentences_find_their_scene(prior, sentence, scene):
    hint = prior.hint(sentence)
    assert int(np.argmax(hint.weights)) == scene
    assert hint.weights.sum() == pytest.approx(1.0)
    assert hint.weights.max() / hint.weights.min() == pytest.approx(STRONGEST)
    assert hint.message.startswith(NAMES[scene])


def test_words_that_two_scenes_share_leave_both(prior):
    weights = prior.hint("a window").weights
    assert weights[1] == weights[2] == pytest.approx(STRONGEST * weights[0])


@pytest.mark.parametrize(
    ("sentence", "message"),
    [("bathtub and giraffe", "no scene is described with these words"), ("near the left of it", "no scene")],
)
def test_unknown_words_weigh_nothing_and_it_is_said(prior, sentence, message):
    hint = prior.hint(sentence)
    np.testing.assert_allclose(hint.weights, 1 / 3)
    assert message in hint.message


def test_a_word_of_every_scene_tells_nothing_and_unknown_ones_are_named():
    prior = ScenePrior(["a", "b"], ["a room with a sink", "a room with a stove"])
    hint = prior.hint("a room")
    np.testing.assert_allclose(hint.weights, 0.5)
    assert "'room' fits every scene" in hint.message
    assert prior.hint("a stove and a giraffe").message.endswith("(by stove; unknown: giraffe)")


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("", "the hint is empty"),
        (" ?! ", "the hint is empty"),
        ("here " * 80, "the hint is 82 tokens long, the limit is 77"),
        ("not the office", "says 'not'; say where the robot is"),
    ],
)
def test_bad_hints_are_refused_and_the_old_one_stays(prior, sentence, message):
    before = prior.hint("kitchen")
    with pytest.raises(ConfigError, match=message):
        prior.hint(sentence)
    assert prior.current is before


def test_hints_move_the_logits_of_a_copy_and_clear_takes_them_back(prior):
    logits = np.array([[0.0, 2.0, -1.0]], np.float32)
    outputs = {"scene_logits": logits, "positions_m": np.ones(3)}
    assert prior.apply(outputs) is outputs
    weights = prior.hint("kitchen").weights
    biased = prior.apply(outputs)
    np.testing.assert_allclose(biased["scene_logits"], logits + np.log(weights), rtol=1e-6)
    assert biased["scene_logits"].dtype == np.float32
    assert biased["positions_m"] is outputs["positions_m"]
    np.testing.assert_array_equal(logits, [[0.0, 2.0, -1.0]])
    assert int(np.argmax(biased["scene_logits"])) == 0
    prior.clear()
    assert prior.apply(outputs) is outputs


def test_a_sure_network_overrules_a_wrong_hint(prior):
    prior.hint("kitchen")
    sure = np.log(np.array([[0.01, 0.98, 0.01]]))
    assert int(np.argmax(prior.apply({"scene_logits": sure})["scene_logits"])) == 1


@pytest.mark.parametrize("outputs", [{}, {"scene_logits": np.zeros((1, 2))}])
def test_outputs_of_other_scenes_are_refused(prior, outputs):
    prior.hint("kitchen")
    with pytest.raises(ConfigError, match=r"scene_logits is .*expected \(1, 3\)"):
        prior.apply(outputs)


def test_names_and_descriptions_must_pair_up():
    with pytest.raises(ConfigError, match="2 names and 1 descriptions"):
        ScenePrior(["a", "b"], ["one"])


class Tower:
    """Knows a few sentences."""

    def __init__(self, features):
        self._features = features

    def embed(self, sentence):
        return np.array(self._features[sentence])

    def count_tokens(self, sentence):
        return 2 + len(sentence.split())


def test_a_text_tower_decides_by_direction_alone():
    features = {"one": [2.0, 0.0], "two": [0.0, 5.0], "asked": [0.1, 0.3]}
    prior = ScenePrior(["a", "b"], ["one", "two"], Tower(features))
    hint = prior.hint("asked")
    assert int(np.argmax(hint.weights)) == 1
    assert hint.weights[1] / hint.weights[0] == pytest.approx(STRONGEST)
    near = ScenePrior(["a", "b"], ["one", "two"], Tower({**features, "asked": [1.0, 1.02]}))
    assert 1.0 < np.divide(*near.hint("asked").weights[::-1]) < 2.0


def test_a_worker_sees_whole_hints_only(prior):
    hints = [prior.hint("kitchen"), prior.hint("the elevator")]
    allowed = {tuple(np.log(hint.weights)) for hint in hints}
    done = threading.Event()

    def set_hints():
        for _ in range(5):
            prior.hint("kitchen")
            prior.hint("the elevator")
        done.set()

    setter = threading.Thread(target=set_hints)
    setter.start()
    seen = set()
    while not done.is_set():
        seen.add(tuple(prior.apply({"scene_logits": np.zeros((1, 3))})["scene_logits"][0]))
    setter.join()
    assert seen <= allowed
