"""Sentences as features: CLIP's own tokens and features, a small encoder of ours, one interface, clear limits."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.text import TOKENS, ClipText, TextEncoder, WordText, WordTextShape

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: train)")

CAT = "a photo of a cat"
# As OpenAI's own tokenizer gives them.
KNOWN_TOKENS = {
    CAT: [49406, 320, 1125, 539, 320, 2368, 49407],
    "  A PHOTO of\ta Cat ": [49406, 320, 1125, 539, 320, 2368, 49407],
    "a diagram": [49406, 320, 22697, 49407],
    "a dog": [49406, 320, 1929, 49407],
    "hello world!": [49406, 3306, 1002, 256, 49407],
}


def write_clip_vocabulary(bpe: Path, folder: Path) -> None:
    """Write CLIP's BPE, as OpenAI publishes it, as the two files of Hugging Face."""
    lines = gzip.decompress(bpe.read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : 49152 - 256 - 2 + 1]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge.split()) for merge in merges)]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")


def tiny_clip(tokens: int = TOKENS, words: int = 49408) -> Any:
    torch.manual_seed(6)
    shape = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**shape, "vocab_size": words, "max_position_embeddings": tokens, "eos_token_id": words - 1}
    text["bos_token_id"] = words - 2
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**shape, "image_size": 14, "patch_size": 7}, projection_dim=12
    )
    model = transformers.CLIPModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.02, std=0.4)
    return model.eval()


@pytest.fixture(scope="module")
def folder(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip_vocabulary(shared_data / "vocab" / "bpe_simple_vocab_16e6.txt.gz", folder)
    tiny_clip().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(folder) -> ClipText:
    return ClipText(folder)


def word_text() -> WordText:
    torch.manual_seed(4)
    return WordText(WordTextShape(channels=24, buckets=500, layers=2, heads=3)).eval()


@pytest.fixture(params=["clip", "words"])
def encoder(request) -> TextEncoder:
    return request.getfixturevalue("clip") if request.param == "clip" else word_text()


@pytest.mark.parametrize(("text", "ids"), KNOWN_TOKENS.items())
def test_clip_cuts_text_as_openai_does(clip, text, ids):
    assert clip.token_ids(text) == ids
    assert clip.count_tokens(text) == len(ids)


@torch.no_grad()
def test_clip_features_are_those_of_transformers(clip):
    texts = [CAT, "a dog on the left of a red chair"]
    tokens, mask = clip.tokens(texts)
    assert tokens.shape == (2, 77, 12)
    assert mask.sum(1).tolist() == [7, clip.count_tokens(texts[1])]
    model = tiny_clip()
    for row, text in enumerate(texts):
        ids = torch.tensor([clip.token_ids(text)])
        seen = model.text_model(input_ids=ids)
        expected = model.text_projection(seen.last_hidden_state[0])
        torch.testing.assert_close(tokens[row, : ids.shape[1]], expected, atol=1e-5, rtol=1e-4)
        pooled = model.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(clip.pooled(texts)[row], pooled[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_what_stands_beside_a_sentence_does_not_change_it(encoder):
    alone, mask = encoder.tokens([CAT])
    together, _ = encoder.tokens(["four chairs around a long white table, with a lamp above it", CAT])
    torch.testing.assert_close(together[1], alone[0], atol=1e-5, rtol=1e-4)
    assert float(alone[~mask].abs().max()) == 0.0
    assert float(alone[mask].std()) > 0.1


@torch.no_grad()
def test_nothing_behind_the_end_mark_is_looked_at(encoder):
    ids, mask = encoder.tokenize([CAT])
    noise = torch.where(mask, ids, torch.arange(77) + 5)
    torch.testing.assert_close(encoder(noise, mask), encoder(ids, mask), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_order_matters_and_case_does_not(encoder):
    left, right, shouted = encoder.pooled(
        ["a lamp left of a chair", "a chair left of a lamp", "A LAMP left of a Chair"]
    )
    assert not torch.allclose(left, right, atol=1e-4)
    assert torch.allclose(left, shouted, atol=1e-5)


@pytest.mark.parametrize("text", ["", "  \n", "... !"])
def test_an_empty_text_is_refused(encoder, text):
    with pytest.raises(ConfigError, match="holds no word; say in a sentence"):
        encoder.tokens([CAT, text])


def test_a_text_may_be_as_long_as_the_limit_and_no_longer(encoder):
    words = ["lamp", *["chair"] * 73, "table"]
    ids, mask = encoder.tokenize([" ".join(words)])
    assert ids.shape == (1, 77)
    assert bool(mask.all())
    words += ["window", "door"]
    with pytest.raises(
        ConfigError, match=r"is 79 tokens long, the limit is 77 .* by 2: it is full before 'window door'"
    ):
        encoder.tokenize([CAT, " ".join(words)])


def test_words_become_the_same_numbers_everywhere():
    # crc32 of "cat" is 0x9e5e43a8, of "the" 0x3c456de6.
    encoder = WordText(WordTextShape(channels=8, heads=2, buckets=1000))
    assert encoder.token_ids("The, cat!") == [1, 3 + 0x3C456DE6 % 1000, 3 + 0x9E5E43A8 % 1000, 2]
    assert encoder.count_tokens("it's a place-mat") == 6


def test_a_word_encoder_is_rebuilt_from_its_description():
    encoder = word_text()
    rebuilt = WordText.from_config(encoder.describe())
    rebuilt.load_state_dict(encoder.state_dict())
    assert torch.equal(rebuilt.eval().tokens([CAT])[0], encoder.tokens([CAT])[0])
    with pytest.raises(ConfigError, match="cannot be read"):
        WordText.from_config({**encoder.describe(), "colour": "red"})


@pytest.mark.parametrize("wrong", [{"channels": 10, "heads": 4}, {"layers": 0}, {"buckets": 0}])
def test_nonsense_shapes_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"text.{next(iter(wrong))} is"):
        WordTextShape(**wrong)


def test_a_word_encoder_learns_to_tell_sentences_apart():
    texts = ["red chair left of a lamp", "lamp left of a red chair", "corridor with two doors", "a blue sofa"]
    encoder = word_text().train()
    head = torch.nn.Linear(24, 4)
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(head(encoder.pooled(texts)), torch.arange(4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert head(encoder.eval().pooled(texts)).argmax(1).tolist() == [0, 1, 2, 3]


def test_clip_stays_frozen(clip):
    assert not any(parameter.requires_grad for parameter in clip.parameters())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no vocabulary", r"lacks vocab\.json and merges\.txt"),
        ("no merges", r"lacks merges\.txt"),
        ("broken vocabulary", "tokenizer in .* cannot be read"),
        ("another family", "model_type 'dinov2'; expected clip or clip_text_model"),
        ("short tower", "takes 50 of 49408 tokens; expected 77"),
        ("small vocabulary", "takes 77 of 300 tokens; expected 77 of the tokenizer's 49408"),
        ("no text tower", r"parameters missing \[text_model"),
    ],
)
def test_a_broken_clip_folder_is_refused_with_what_is_wrong(folder, tmp_path, fault, message):
    broken = tmp_path / "clip"
    shutil.copytree(folder, broken)
    if fault == "no vocabulary":
        (broken / "vocab.json").unlink()
    if fault in {"no vocabulary", "no merges"}:
        (broken / "merges.txt").unlink()
    elif fault == "broken vocabulary":
        (broken / "vocab.json").write_text('{"a": 1,')
    elif fault == "another family":
        (broken / "config.json").write_text('{"model_type": "dinov2"}')
    elif fault == "short tower":
        tiny_clip(tokens=50).save_pretrained(broken)
    elif fault == "small vocabulary":
        tiny_clip(words=300).save_pretrained(broken)
    elif fault == "no text tower":
        state = {name: value for name, value in tiny_clip().state_dict().items() if not name.startswith("text_model.")}
        config = (broken / "config.json").read_text()
        tiny_clip().save_pretrained(broken, state_dict=state)
        (broken / "config.json").write_text(config)
    with pytest.raises(ConfigError, match=message):
        ClipText(broken)
