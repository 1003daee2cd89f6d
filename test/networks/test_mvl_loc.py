"""The decoder reads each scene's description by itself, and hides nothing when localizing."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks import mvl_loc
from reloc_ros.networks.mvl_loc import DecoderConfig, ScenePlaces, Sentences, create_network
from reloc_ros.networks.text import WordText, WordTextShape
from reloc_ros.networks.token_encoders import PatchTransformer

TINY = DecoderConfig(width=32, heads=2, feedforward=48, layers=2, members=3, hidden=24)
TEXTS = ("a kitchen with a red kettle beside the white sink", "an office", "a long corridor of grey doors")
PLACES = ScenePlaces(
    centres_m=torch.tensor([[1.0, 2.0, 3.0], [-4.0, 5.0, 0.0], [70.0, 0.0, 1.0]]),
    scales_m=torch.tensor([0.5, 2.0, 10.0]),
    log_quats=torch.tensor([[0.1, 0.2, 0.3], [0.0, -1.4, 0.0], [0.7, 0.0, 0.0]]),
)


@pytest.fixture
def network():
    torch.manual_seed(3)
    text = WordText(WordTextShape(channels=16, heads=2))
    ids, full = text.tokenize(TEXTS)
    mask = full[:, : int(full.sum(1).max())]
    content = mask.clone()
    content[:, 0] = False
    sentences = Sentences(torch.zeros(*mask.shape, 16), mask, content, text, ids)
    return create_network(PatchTransformer("patch_transformer_tiny"), TINY, sentences, PLACES).eval()


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_every_scene_gets_a_score_and_the_poses_of_its_heads(network, images):
    logits, positions_m, log_quats, attention = network(images)
    assert logits.shape == (2, 3)
    assert positions_m.shape == log_quats.shape == (2, 3, 3, 3)
    assert attention.shape == (2, 3, 24)
    # Heads start about the mean pose of their scene, in its size.
    assert ((positions_m - PLACES.centres_m[:, None]).abs() < 3 * PLACES.scales_m[:, None, None]).all()
    assert ((log_quats.mean(2) - PLACES.log_quats).abs() < 1).all()
    assert positions_m.std(2).min() > 0
    torch.testing.assert_close(attention.mean(-1), torch.ones(2, 3))
    assert attention.std(-1).min() > 0


def test_localizing_is_the_same_every_time_and_for_each_image_by_itself(network, images):
    together = network(images)
    for found, again, alone in zip(together, network(images), network(images[1:]), strict=True):
        assert torch.equal(found, again)
        torch.testing.assert_close(found[1:], alone)


def test_training_reads_the_scenes_it_is_shown_the_true_one_first(network, images):
    logits, positions_m, log_quats, _ = network(images)
    whole = DecoderConfig(**{**vars(TINY), "kept_patches": 1.0})
    network.decoder.config = whole
    shown = torch.tensor([[2, 0], [1, 2]])
    scores, positions, rotations, balance = network(images, shown)
    torch.testing.assert_close(scores, logits.gather(1, shown))
    for image, scene in enumerate(shown[:, 0].tolist()):
        expected = (positions_m[image, scene] - PLACES.centres_m[scene]) / PLACES.scales_m[scene]
        torch.testing.assert_close(positions[image], expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(rotations[image], log_quats[image, scene])
    assert balance.tolist() == [0.0, -3.0]


def test_training_hides_patches_and_localizing_none(network, images):
    network.train()
    shown = torch.tensor([[0, 1], [0, 1]])
    assert not torch.equal(network(images, shown)[0], network(images, shown)[0])


def test_words_that_are_none_change_nothing(network, images):
    before = network(images)
    sentences = network.decoder.sentences
    baked = sentences()
    spoilt = torch.where(sentences.mask[..., None], baked, torch.full_like(baked, 1e3))
    network.decoder.sentences = Sentences(spoilt, sentences.mask, sentences.content)
    for found, expected in zip(network(images), before, strict=True):
        torch.testing.assert_close(found, expected)


def test_each_scene_is_read_by_its_own_words(network, images):
    before = network(images)
    sentences = network.decoder.sentences
    other = sentences().clone()
    other[1, 1] += torch.linspace(-3, 3, other.shape[-1])
    network.decoder.sentences = Sentences(other, sentences.mask, sentences.content)
    for found, expected in zip(network(images), before, strict=True):
        torch.testing.assert_close(found[:, [0, 2]], expected[:, [0, 2]])
        assert (found[:, 1] - expected[:, 1]).abs().max() > 1e-5


def test_scenes_that_are_described_alike_can_still_be_told_apart(network, images):
    sentences = network.decoder.sentences
    alike = sentences()[:1].expand(3, -1, -1)
    mask = sentences.mask[:1].expand(3, -1)
    network.decoder.sentences = Sentences(alike, mask, mask)
    logits, _, _, attention = network(images)
    torch.testing.assert_close(attention[:, 0], attention[:, 2])
    assert logits.std(1).min() > 1e-3


def test_a_checkpoint_holds_the_words_as_constants_and_gives_the_same(network, images):
    content = mvl_loc.describe_network(network)
    assert not [name for name in content["network"] if "sentences.encoder" in name or name.endswith("ids")]
    again = mvl_loc.from_checkpoint(content)
    assert again.decoder.sentences.encoder is None
    for found, expected in zip(again(images), network(images), strict=True):
        torch.testing.assert_close(found, expected)
    del content["network"]["decoder.score"]
    with pytest.raises(ConfigError, match="do not fit"):
        mvl_loc.from_checkpoint(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "decoder.layers is 0"),
        ({"width": 34, "heads": 2}, "decoder.width is 34"),
        ({"heads": 5}, "multiple of 4 and of heads, 5"),
        ({"kept_patches": 0.0}, "kept_patches is 0.0"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        DecoderConfig(**changes)


def test_a_network_to_measure_time_with_needs_no_training():
    config = {"encoder": {"kind": "patch_transformer_tiny"}, "decoder": vars(TINY), "text": {"channels": 16}}
    network = mvl_loc.from_checkpoint(mvl_loc.untrained(config))
    assert network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))[0].shape == (1, 4)
    with pytest.raises(ConfigError, match="no random weights"):
        mvl_loc.untrained({**config, "encoder": {"kind": "clip"}})
