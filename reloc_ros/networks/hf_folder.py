"""Checkpoints in local folders of Hugging Face's layout, read strictly through `transformers`.

`transformers` fills what a checkpoint lacks with random numbers and only warns; here that is an error with the names.
Nothing is ever asked of a hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from reloc_ros.errors import ConfigError

# In this order of preference; OpenAI's CLIP is published in the older format only.
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def transformers_module() -> ModuleType:
    """Return the `transformers` package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"CLIP and DINOv2 need the package transformers, which cannot be imported ({error}); pip install "
            "'reloc_ros[train]', or choose an encoder of our own"
        ) from error
    return transformers  # type: ignore[no-any-return, unused-ignore]


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return what `config.json` of a checkpoint says.

    Raises:
        ConfigError: no such folder, or a file that is missing or no JSON object.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(
            f"checkpoint folder {path} does not exist; give a local folder with config.json and model.safetensors "
            "(`reloc weights fetch` gets one)"
        )
    file = path / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read ({error}); the folder needs the checkpoint's own config.json"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds a {type(content).__name__}, not the settings of a network")
    return content


def require_model_type(folder: str | Path, accepted: tuple[str, ...]) -> str:
    """Return the `model_type` of a checkpoint.

    Raises:
        ConfigError: it is none of the accepted ones.
    """
    found = read_config(folder).get("model_type")
    if found not in accepted:
        raise ConfigError(
            f"{Path(folder) / 'config.json'} says model_type {found!r}; expected {' or '.join(accepted)}: give another "
            "folder or another encoder"
        )
    return str(found)


def load_pretrained(folder: str | Path, class_name: str, left_aside: tuple[str, ...] = ()) -> Any:
    """Return a model of `transformers` with every weight from the folder.

    Args:
        folder: with `config.json` and the weights.
        class_name: of the model in `transformers`.
        left_aside: beginnings of names in the checkpoint that the model has no use for.

    Raises:
        ConfigError: no weights, a file that cannot be read, or parameters missing, unknown or of another shape.
    """
    path = Path(folder)
    builder = getattr(transformers_module(), class_name)
    if not any((path / name).is_file() for name in WEIGHT_FILES):
        raise ConfigError(f"{path} holds no weights; expected one of {', '.join(WEIGHT_FILES)}")
    # A tower alone would look for it in its own part of config.json, where the whole CLIP does not.
    settings = {key: value for key, value in read_config(path).items() if key == "projection_dim"}
    try:
        with quiet():
            model, report = builder.from_pretrained(
                path,
                local_files_only=True,
                attn_implementation="eager",
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **settings,
            )
    except Exception as error:  # whatever the reader of the format met
        raise ConfigError(f"the weights in {path} cannot be read ({error}); fetch them again") from error
    missing = sorted(report["missing_keys"])
    foreign = sorted(key for key in report["unexpected_keys"] if not key.startswith(left_aside))
    reshaped = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if missing or foreign or reshaped:
        raise ConfigError(
            f"the weights in {path} do not make a whole {class_name}: {len(missing)} parameters missing "
            f"{_some(missing)}, {len(foreign)} unknown {_some(foreign)}, {len(reshaped)} of another shape "
            f"{_some(reshaped)}; fetch the checkpoint again, with the config.json that belongs to it"
        )
    return model.eval()


def build_untrained(class_name: str, config: dict[str, Any]) -> nn.Module:
    """Return a model of `transformers` with random weights.

    Args:
        class_name: of the model in `transformers`.
        config: what its configuration's `to_dict` gave.
    """
    builder = getattr(transformers_module(), class_name)
    settings = builder.config_class.from_dict(dict(config))
    model: nn.Module = builder._from_config(settings, attn_implementation="eager")  # noqa: SLF001 - no public spelling
    return model.eval()


def _some(names: list[str]) -> str:
    return f"[{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}]"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep reports and progress bars of `transformers` off the terminal; what matters in them becomes an error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
