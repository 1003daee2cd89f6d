"""Token encoders behind one interface: ours from scratch and pre-trained, the others by their description."""

from __future__ import annotations

import pytest
import torch

from reloc_ros.errors import ConfigError
from reloc_ros.networks.patch_pyramid import PatchPyramid
from reloc_ros.networks.squeezenet import SqueezeNet
from reloc_ros.networks.token_encoders import (
    PatchTransformer,
    TokenEncoderConfig,
    create_token_encoder,
    encoder_from_description,
    positions_2d,
    step_px,
)

TINY = TokenEncoderConfig(kind="patch_transformer_tiny")


def _images(height=64, width=96):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)


def test_tokens_for_each_patch_and_one_for_the_image():
    encoder = create_token_encoder(TINY, 64, 96).eval()
    summary, patches = encoder(_images())
    assert encoder.grid(64, 96) == (4, 6)
    assert (summary.shape, patches.shape) == ((2, encoder.channels), (2, 24, encoder.channels))
    for from_bytes, from_floats in zip((summary, patches), encoder(_images().float())):
        assert torch.equal(from_bytes, from_floats)


def test_half_a_token_is_the_patch_and_half_what_the_image_makes_of_it():
    encoder = create_token_encoder(TINY, 64, 256).eval()
    images = _images(64, 256)
    changed = images.clone()
    changed[:, :, 240:] = 0
    before, after = encoder(images)[1], encoder(changed)[1]
    half = encoder.channels // 2
    far = 0  # the first patch, 15 patches from the change
    assert torch.equal(before[:, far, :half], after[:, far, :half])
    assert not torch.allclose(before[:, far, half:], after[:, far, half:], atol=1e-5)


def test_of_a_pyramid_a_part_of_a_token_knows_its_surroundings_alone():
    """A change far away reaches only the part that the deepest map made; a near one reaches both."""
    encoder = create_token_encoder(TokenEncoderConfig(kind="patch_pyramid_tiny"), 64, 256).eval()
    images = _images(64, 256)
    changed = images.clone()
    changed[:, :, 160:] = 0
    assert encoder.grid(64, 256) == (8, 32)
    before, after = (encoder(each)[1].unflatten(1, (8, 32)) for each in (images, changed))
    local = encoder.local_channels
    # The change begins at column 20 of the patches.
    assert torch.equal(before[:, :, :13, :local], after[:, :, :13, :local])
    assert not torch.allclose(before[:, :, :13, local:], after[:, :, :13, local:], atol=1e-5)
    assert not torch.allclose(before[:, :, 19, :local], after[:, :, 19, :local], atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (56, 104)])
def test_a_pyramid_fits_every_multiple_of_its_patches(size):
    encoder = create_token_encoder(TokenEncoderConfig(kind="patch_pyramid_tiny"), *size).eval()
    rows, columns = encoder.grid(*size)
    assert encoder(_images(*size))[1].shape == (2, rows * columns, encoder.channels)


def test_positions_mean_the_same_place_at_every_resolution():
    coarse, fine = positions_2d(2, 2, 16), positions_2d(6, 6, 16)
    # The centre of a coarse cell is that of the middle one of nine fine cells.
    torch.testing.assert_close(fine.reshape(6, 6, 16)[[1, 4]][:, [1, 4]].reshape(4, 16), coarse)
    assert not torch.allclose(coarse[0], coarse[1])


def test_descriptions_make_the_same_encoder_again():
    for encoder in (PatchTransformer("patch_transformer_tiny"), PatchPyramid("patch_pyramid_tiny"), SqueezeNet()):
        again = encoder_from_description(encoder.describe())
        again.load_state_dict(encoder.state_dict())
        for first, second in zip(encoder.eval()(_images()), again.eval()(_images())):
            assert torch.equal(first, second)


def test_patches_that_do_not_fill_the_image_are_refused():
    assert step_px(TINY) == 16
    with pytest.raises(ConfigError, match="input is 100x64 px and the encoder's patches are 16 px"):
        create_token_encoder(TINY, 64, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "dino"}, "encoder.kind is 'dino'; choose one of patch_transformer_tiny"),
        ({"kind": "clip"}, "clip without encoder.weights"),
        ({"kind": "patch_transformer_tiny", "frozen": True}, "would keep random weights"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        TokenEncoderConfig(**changes)


def test_weights_that_are_no_encoder_are_refused(tmp_path):
    torch.save({"network": {}}, tmp_path / "best.pt")
    with pytest.raises(ConfigError, match=r"best\.pt cannot be read as a pre-trained encoder"):
        create_token_encoder(TokenEncoderConfig(kind="patch_transformer_tiny", weights=str(tmp_path)), 64, 64)
    small = PatchTransformer("patch_transformer_small")
    torch.save({"encoder": small.describe(), "encoder_weights": small.state_dict()}, tmp_path / "best.pt")
    with pytest.raises(ConfigError, match=r"holds a patch_transformer_small, encoder.kind is patch_transformer_tiny"):
        create_token_encoder(TokenEncoderConfig(kind="patch_transformer_tiny", weights=str(tmp_path)), 64, 64)
