"""The training loop: read data, start or resume, step until the time or the epochs are over, keep the best."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from reloc_ros.errors import TrainingError
from reloc_ros.training import checkpoint
from reloc_ros.training.config import TrainConfig, config_to_dict
from reloc_ros.training.distributed import World
from reloc_ros.training.journal import Journal
from reloc_ros.training.precision import pick_precision
from reloc_ros.training.task import Task
from reloc_ros.training.tasks import TASKS

_log = logging.getLogger(__name__)

# The rate rises over this many steps, or over this share of a run that is shorter.
_WARM_UP_STEPS = 200
_WARM_UP_SHARE = 0.05
# The cosine ends here, as a share of the peak.
_FINAL_RATE = 0.01
_GRADIENT_NORM = 5.0


def train(data: Sequence[str], out: Path, config: TrainConfig, world: World) -> Path:
    """Train, or resume, a run folder and return its best checkpoint.

    The folder gets `config.yaml`, `metrics.jsonl`, `training.png`, `last.pt` (to resume) and `best.pt` (to export).
    A folder with a `last.pt` of the same data and configuration is resumed where it stopped.

    Args:
        data: data sets as `FORMAT:PATH` or `NAME=FORMAT:PATH`, each a scene or all in one map frame, as the method has it.
        out: run folder.
        config: what to do, and with which method.
        world: the processes that train together.

    Raises:
        DatasetError, ConfigError, TrainingError: the input cannot be trained on; nothing is lost of an earlier run.
    """
    resumed = _resumable(out, data, config)
    torch.manual_seed(config.seed)
    task = TASKS[config.method](data, out, config, world)
    return _Run(out, config, task, world, resumed).finish()


def _resumable(out: Path, data: Sequence[str], config: TrainConfig) -> dict[str, Any] | None:
    path = out / checkpoint.LAST
    if not path.is_file():
        return None
    content = checkpoint.load(path)
    asked = {"method": config.method, "data": list(data), "train_config": config_to_dict(config)}
    if any(content[key] != value for key, value in asked.items()):
        raise TrainingError(
            f"{out} holds a run with other data or another configuration ({out / 'config.yaml'}); "
            "choose another --out, or remove the folder to start over"
        )
    return content


class _Run:
    """The state of one run: what a checkpoint holds, and how it moves."""

    def __init__(
        self, out: Path, config: TrainConfig, task: Task, world: World, resumed: dict[str, Any] | None
    ) -> None:
        self._out, self._config, self._task, self._world = out, config, task, world
        self._network = task.network
        self._average = copy.deepcopy(task.network).eval()
        self._trained = task.trained_part(self._network).train()
        self._wrapped = world.wrap(self._trained)
        self._parameters = list(self._trained.parameters())
        self._optimizer = _create_optimizer(self._trained, config)
        self._dtype = pick_precision(config.precision, world.device)
        self._scaler = torch.amp.GradScaler(world.device.type, enabled=self._dtype == torch.float16)
        self._journal = Journal(out, enabled=world.leads)
        self.step, self._seconds_before, self._best = 0, 0.0, math.inf
        self._validated_step = 0
        if resumed is not None:
            self._restore(resumed)

    def finish(self) -> Path:
        """Step until the time or the epochs are over; return the best checkpoint."""
        config, world = self._config, self._world
        started = perf_counter()
        steps_per_epoch = self._task.material.count["train"] / (self._task.step_images * world.size)
        last_step = min(math.ceil(config.epochs * steps_per_epoch), config.max_steps or math.inf)
        next_validation_s = self._seconds_before + 60 * config.validate_every_minutes
        with self._journal.progress_bar():
            for batch in self._task.batches(self.step):
                seconds = world.agree(self._seconds_before + perf_counter() - started)
                progress = max(seconds / (60 * config.max_minutes), self.step / last_step)
                if progress >= 1:
                    break
                losses = self._learn(batch.to(world.device), progress)
                self._journal.show(progress, self.step, self.step / steps_per_epoch, losses)
                if seconds >= next_validation_s:
                    self._validate(seconds)
                    next_validation_s = seconds + 60 * config.validate_every_minutes
        if self.step > self._validated_step:
            self._validate(world.agree(self._seconds_before + perf_counter() - started))
        self._journal.draw()
        return self._out / checkpoint.BEST

    def _learn(self, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        self._set_rate(progress)
        # Chance depends on the step alone, so that a resumed run goes on as if it had never stopped.
        torch.manual_seed(hash((self._config.seed, self.step, self._world.rank)) % 2**63)
        loss, parts = self._task.loss(self._forward, batch, progress)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, _GRADIENT_NORM)
        # A singular alignment has no gradient; one such batch must not poison the weights.
        if self._scaler.is_enabled() or torch.isfinite(norm):
            self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        # A young average would remember the random start.
        decay = min(self._config.average, self.step / (self.step + 10))
        checkpoint.average_into(self._task.trained_part(self._average), self._trained, decay)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    def _forward(self, *inputs: torch.Tensor) -> Any:
        """Return what the trained part makes of its inputs, computed in the run's precision."""
        with torch.autocast(self._world.device.type, self._dtype, enabled=self._dtype != torch.float32):
            return self._wrapped(*inputs)

    def _set_rate(self, progress: float) -> None:
        risen = max((self.step + 1) / _WARM_UP_STEPS, progress / _WARM_UP_SHARE)
        warm = min(1.0, risen)
        cosine = _FINAL_RATE + (1 - _FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * warm * cosine

    def _validate(self, seconds: float) -> None:
        self._validated_step = self.step
        if not self._world.leads:
            return
        verdict = self._task.validate(self._average)
        self._journal.write(step=self.step, seconds=seconds, verdict=verdict)
        described = self._describe(seconds)
        if verdict.score <= self._best or not (self._out / checkpoint.BEST).is_file():
            self._best = verdict.score
            best = {**described, **self._task.describe(self._average), "serving": verdict.serving}
            checkpoint.save(self._out / checkpoint.BEST, best)
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "best": self._best,
        }
        checkpoint.save(self._out / checkpoint.LAST, {**described, **state})

    def _describe(self, seconds: float) -> dict[str, Any]:
        material = self._task.material
        return {
            "method": self._config.method,
            "data": material.provenance["data"],
            "provenance": material.provenance,
            "train_config": config_to_dict(self._config),
            "input": [material.height, material.width],
            "images": material.count,
            "step": self.step,
            "seconds": seconds,
        }

    def _restore(self, content: dict[str, Any]) -> None:
        self._network.load_state_dict(content["network"])
        self._average.load_state_dict(content["average"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._scaler.load_state_dict(content["scaler"])
        self.step, self._seconds_before, self._best = content["step"], content["seconds"], content["best"]
        self._validated_step = self.step
        _log.info("resuming at step %d after %.1f min", self.step, self._seconds_before / 60)


def _create_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    # Decay pulls weights towards zero; biases and batch-norm scales have no reason to be there.
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
