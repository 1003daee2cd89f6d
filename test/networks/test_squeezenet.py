"""SqueezeNet from a Keras file: the network Keras would run, cells where they belong, and strictness about the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from engine_compiler import compiles
from torch import nn

from reloc_ros.errors import ConfigError
from reloc_ros.networks.squeezenet import SqueezeNet

h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra: train)")

# Of SqueezeNet 1.1 without its classifier (1 235 496 with it, of which the classifier has 513 000).
PARAMETERS = 722_496


@pytest.fixture(scope="module")
def keras_file(shared_data) -> Path:
    return shared_data / "weights" / "squeezenet1_1_imagenet_notop.h5"


@pytest.fixture(scope="module")
def network(keras_file) -> SqueezeNet:
    return SqueezeNet.from_file(keras_file)


def test_it_has_the_published_number_of_parameters():
    assert sum(parameter.numel() for parameter in SqueezeNet().parameters()) == PARAMETERS


def keras_convolution(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve as Keras does: image (H, W, I), kernel (3, 3, I, O), stride 2, no border."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))[::2, ::2]
    return np.einsum("ijcyx,yxco->ijo", windows, kernel) + bias


@torch.no_grad()
def test_weights_are_turned_round_as_keras_means_them(network, keras_file):
    rng = np.random.default_rng(2)
    image = rng.normal(size=(9, 11, 3))
    with h5py.File(keras_file) as file:
        expected = keras_convolution(image, file["conv1/uniform1"][()], file["conv1/conv1_b"][()])
    found = network.conv1(torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None])[0]
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_tokens_are_row_by_row_under_their_own_pixels(network):
    background = torch.full((1, 96, 160, 3), 120, dtype=torch.uint8)
    _, before = network(background)
    assert network.grid(96, 160) == (6, 10)
    assert before.shape == (1, 60, 512)
    for row, column in [(1, 7), (4, 2)]:
        image = background.clone()
        image[:, row * 16 + 5 : row * 16 + 11, column * 16 + 5 : column * 16 + 11] = torch.tensor([250, 20, 20]).byte()
        change = (network(image)[1] - before).norm(dim=-1)[0]
        assert int(change.argmax()) == row * 10 + column


def test_a_token_looks_as_far_to_the_left_as_to_the_right():
    """Its receptive field lies round the middle of its 16 x 16 pixels, to the half pixel that strides leave."""
    torch.manual_seed(3)
    network = SqueezeNet()
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.0)
    images = (255 * torch.rand(6, 320, 352, 3)).requires_grad_()
    column, row = 11, 10
    network(images)[1][:, row * 22 + column].sum().backward()
    seen = images.grad.abs().sum((0, 3)) > 0
    columns, rows = (torch.nonzero(seen.any(dim)).flatten() for dim in (0, 1))
    assert int(columns.max() - columns.min()) > 100
    assert float(columns.min() + columns.max()) / 2 == pytest.approx(16 * column + 7.5, abs=1.0)
    assert float(rows.min() + rows.max()) / 2 == pytest.approx(16 * row + 7.5, abs=1.0)


@torch.no_grad()
def test_the_summary_is_the_mean_and_bytes_are_as_good_as_floats(network):
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    summary, tokens = network(images)
    torch.testing.assert_close(summary, tokens.mean(1))
    assert torch.equal(network(images.float())[1], tokens)


@torch.no_grad()
def test_every_channel_responds_to_real_images(network, shared_data):
    """A wrong scale or mean of the pixels silences a sixth of the channels or more."""
    files = sorted((shared_data / "redkitchen" / "seq-01").glob("*.color.jpg"))[::25]
    images = [cv2.resize(cv2.imread(str(file)), (320, 240), interpolation=cv2.INTER_AREA)[..., ::-1] for file in files]
    tokens = network(torch.tensor(np.array(images)))[1]
    assert float((tokens.amax((0, 1)) == 0).float().mean()) < 0.03
    assert 0.5 < float(tokens.std()) < 2.0


def test_red_and_blue_are_not_mixed_up(network):
    """The authors' network takes blue first; what it sees last of the colours, as in every ImageNet network, is blue."""
    strength = network.conv1.weight.abs().mean((0, 2, 3))
    assert int(strength.argmin()) == 0
    image = torch.zeros(1, 32, 32, 3)
    image[..., 2] = 104.006
    image[..., 1] = 116.669
    image[..., 0] = 122.679
    seen = []
    handle = network.conv1.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    network(image)
    handle.remove()
    assert float(seen[0].abs().max()) < 1e-4


def test_an_image_that_patches_do_not_fill_is_refused(network):
    with pytest.raises(ConfigError, match="100x96 px and the encoder's patches are 16 px"):
        network(torch.zeros(1, 96, 100, 3))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_exported_graph_is_the_network_and_compiles(network, tmp_path):
    images = torch.randint(0, 256, (1, 48, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    path = tmp_path / "squeezenet.onnx"
    torch.onnx.export(
        network,
        (images,),
        path,
        input_names=["image"],
        output_names=["summary", "patches"],
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    patches = onnxruntime.InferenceSession(path).run(["patches"], {"image": images.numpy()})[0]
    np.testing.assert_allclose(patches, network(images)[1].detach().numpy(), atol=1e-4)
    assert compiles(path)


def keras_copy(path: Path, network: nn.Module) -> None:
    """Write a network as Keras writes it."""
    with h5py.File(path, "w") as file:
        layers = sorted({name.rpartition(".")[0].replace(".", "/") for name, _ in network.named_parameters()})
        file.attrs["layer_names"] = [name.encode() for name in [*layers, "drop9"]]
        file.create_group("drop9").attrs["weight_names"] = []
        for layer in layers:
            module = network.get_submodule(layer.replace("/", "."))
            group = file.create_group(layer)
            group.attrs["weight_names"] = [b"kernel", layer.encode() + b"_b"]
            group["kernel"] = module.weight.detach().permute(2, 3, 1, 0).numpy()
            group[f"{layer}_b"] = module.bias.detach().numpy()


def test_a_written_network_comes_back(tmp_path):
    torch.manual_seed(8)
    network = SqueezeNet()
    keras_copy(tmp_path / "weights.h5", network)
    read = SqueezeNet.from_file(tmp_path / "weights.h5").state_dict()
    assert all(torch.equal(read[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing layer", r"1 layers missing \['fire5/expand3x3'\]"),
        ("unknown layer", r"1 unknown \['conv10'\]"),
        ("another shape", r"1 of another shape \['fire5\.expand3x3\.weight'\]"),
        ("missing array", r"1 layers missing \['fire5\.expand3x3\.bias'\]"),
        ("truncated", "cannot be read as a Keras weight file"),
        ("text", "cannot be read as a Keras weight file"),
        ("no layers", "cannot be read as a Keras weight file"),
        ("no file", "does not exist"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path, fault, message):
    path = tmp_path / "weights.h5"
    keras_copy(path, SqueezeNet())
    if fault == "text":
        path.write_text("not a checkpoint", encoding="utf-8")
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-100_000])
    elif fault == "no file":
        path.unlink()
    else:
        spoil(path, fault)
    with pytest.raises(ConfigError, match=message):
        SqueezeNet.from_file(path)


def spoil(path: Path, fault: str) -> None:
    with h5py.File(path, "a") as file:
        layers = list(file.attrs["layer_names"])
        group = file["fire5/expand3x3"]
        if fault == "missing layer":
            layers.remove("fire5/expand3x3")
        elif fault == "unknown layer":
            layers.append("conv10")
            file.copy("conv1", "conv10")
        elif fault == "missing array":
            group.attrs["weight_names"] = [b"kernel"]
        elif fault == "another shape":
            shape = group["kernel"].shape
            del group["kernel"]
            group["kernel"] = np.zeros((1, *shape[1:]), dtype=np.float32)
        if fault == "no layers":
            del file.attrs["layer_names"]
        else:
            file.attrs["layer_names"] = layers
