"""Features of canvases: a fixed layout, coverage counted, and rolls that stay rolls."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.frame_encoder import FrameConfig, FrameEncoder, frame_encoder_from
from reloc_ros.networks.token_encoders import create_scratch_encoder

CONFIG = FrameConfig(rows=2, columns=8, channels=3, summary=5)


def _encoder(kind="panorama_conv_tiny", config=CONFIG):
    torch.manual_seed(0)
    return FrameEncoder(create_scratch_encoder(kind), config).eval()


def _canvas(height=32, width=128, seen=slice(None)):
    generator = torch.Generator().manual_seed(2)
    canvas = torch.zeros(1, height, width, 4, dtype=torch.uint8)
    canvas[:, :, seen, :3] = torch.randint(0, 256, (1, height, width, 3), generator=generator).byte()[:, :, seen]
    canvas[:, :, seen, 3] = 255
    return canvas


def test_a_feature_is_cells_then_coverage_then_summary():
    feature = torch.arange(CONFIG.size)
    assert CONFIG.size == 2 * 8 * 3 + 2 * 8 + 5
    assert CONFIG.cells(feature)[1, 2].tolist() == [30, 31, 32]
    assert CONFIG.coverage(feature)[1, 2] == 48 + 10
    assert CONFIG.rolled(feature, 0).tolist() == feature.tolist()


@pytest.mark.parametrize("columns", [1, 3, -2])
def test_a_rolled_canvas_has_the_rolled_feature(columns):
    encoder = _encoder()
    canvas = _canvas(seen=slice(20, 90))
    with torch.no_grad():
        feature, rolled = encoder(canvas), encoder(canvas.roll(columns * 128 // 8, dims=2))
    torch.testing.assert_close(rolled, CONFIG.rolled(feature, columns), rtol=0, atol=1e-5)
    assert (rolled - feature).abs().max() > 0.1


def test_coverage_is_the_share_of_a_cell_that_was_seen():
    with torch.no_grad():
        coverage = CONFIG.coverage(_encoder()(_canvas(seen=slice(16, 40))))
    expected = torch.tensor([0.0, 1.0, 0.5, 0, 0, 0, 0, 0])
    torch.testing.assert_close(coverage, expected.expand(1, 2, 8))


def test_what_was_not_seen_says_nothing():
    encoder = _encoder()
    canvas = _canvas(seen=slice(0, 64))
    painted = canvas.clone()
    painted[:, :, 64:, :3] = 200
    with torch.no_grad():
        torch.testing.assert_close(encoder(painted), encoder(canvas))
        assert not CONFIG.cells(encoder(canvas))[..., 4:, :].any()


@pytest.mark.parametrize("rows_columns", [(1, 1), (3, 5), (4, 16)])
def test_cells_need_not_be_whole_patches(rows_columns):
    rows, columns = rows_columns
    config = FrameConfig(rows=rows, columns=columns, channels=3, summary=5)
    with torch.no_grad():
        feature = _encoder(config=config)(_canvas())
    assert feature.shape == (1, config.size)
    torch.testing.assert_close(config.coverage(feature), torch.ones(1, rows, columns))


def test_bytes_and_floats_mean_the_same():
    encoder = _encoder()
    torch.testing.assert_close(encoder(_canvas()), encoder(_canvas().float()))


@pytest.mark.parametrize("kind", ["panorama_conv_small", "patch_transformer_tiny"])
def test_it_is_made_again_from_its_description(kind):
    encoder = _encoder(kind)
    again = frame_encoder_from(encoder.describe())
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again.eval()(_canvas()), encoder(_canvas()))


def test_a_foundation_model_gives_the_tokens_as_well():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: train)")
    from reloc_ros.networks.foundation import DinoV2Encoder

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 7}
    tokens = DinoV2Encoder(transformers.Dinov2Model(transformers.Dinov2Config(**shape)), 28, 56)
    encoder, canvas = FrameEncoder(tokens, CONFIG).eval(), _canvas(28, 56, seen=slice(7, 28))
    feature = encoder(canvas)
    torch.testing.assert_close(CONFIG.coverage(feature)[0, 0], torch.tensor([0.0, 1, 1, 1, 0, 0, 0, 0]))
    again = frame_encoder_from(encoder.describe())
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again.eval()(canvas), feature)


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match=r"frame\.rows is 0"):
        FrameConfig(rows=0)
