"""Tokens of panoramas: no seam, no marked azimuth, and the interface of all token encoders."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.panorama_conv import PANORAMA_CONVS, PanoramaConv
from reloc_ros.networks.token_encoders import (
    TokenEncoderConfig,
    create_scratch_encoder,
    create_token_encoder,
    encoder_from_description,
    step_px,
)


def _encoder(kind="panorama_conv_tiny"):
    torch.manual_seed(0)
    return PanoramaConv(kind).eval()


def _panorama(height=32, width=128):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", PANORAMA_CONVS)
@pytest.mark.parametrize("patches", [1, 5, 15])
def test_a_rolled_panorama_gives_rolled_tokens(kind, patches):
    encoder, panorama = _encoder(kind), _panorama()
    rows, columns = encoder.grid(32, 128)
    with torch.no_grad():
        summary, tokens = encoder(panorama)
        rolled_summary, rolled = encoder(panorama.roll(8 * patches, dims=2))
    moved = tokens.unflatten(1, (rows, columns)).roll(patches, dims=2).flatten(1, 2)
    torch.testing.assert_close(rolled, moved, rtol=0, atol=1e-5)
    torch.testing.assert_close(rolled_summary, summary, rtol=0, atol=1e-5)
    assert (rolled - tokens).abs().max() > 0.1


def test_a_roll_by_less_than_a_patch_is_another_panorama():
    encoder, panorama = _encoder(), _panorama()
    with torch.no_grad():
        assert (encoder(panorama.roll(4, dims=2))[1] - encoder(panorama)[1]).abs().max() > 0.1


def test_up_is_not_down():
    encoder, panorama = _encoder(), _panorama()
    with torch.no_grad():
        _, tokens = encoder(panorama)
        _, moved = encoder(panorama.roll(8, dims=1))
    rolled = tokens.unflatten(1, (4, 16)).roll(1, dims=1).flatten(1, 2)
    assert (moved - rolled).abs().max() > 0.1


def test_it_is_one_of_the_token_encoders():
    config = TokenEncoderConfig(kind="panorama_conv_small")
    assert step_px(config) == 8
    encoder = create_token_encoder(config, 32, 64).eval()
    summary, tokens = encoder(_panorama(32, 64))
    assert (summary.shape, tokens.shape) == ((2, 64), (2, 4 * 8, 64))
    assert encoder.channels == encoder.local_channels == 64
    again = encoder_from_description(encoder.describe())
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again.eval()(_panorama(32, 64))[1], tokens)


def test_patches_must_fill_the_panorama():
    with pytest.raises(ConfigError, match="100x32 px and the encoder's patches are 8 px"):
        create_token_encoder(TokenEncoderConfig(kind="panorama_conv_tiny"), 32, 100)


@pytest.mark.parametrize("kind", PANORAMA_CONVS)
def test_it_is_small(kind):
    assert sum(parameter.numel() for parameter in create_scratch_encoder(kind).parameters()) < 1_000_000
