"""What a person sees of a training run: the bar while it goes, a line for each validation, and the picture at the end."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from reloc_ros.training.task import Verdict

_log = logging.getLogger(__name__)

_SHOW_EVERY = 10


class Journal:
    """Writes `metrics.jsonl` and `training.png` into a run folder and shows progress; silent when not enabled."""

    def __init__(self, out: Path, *, enabled: bool) -> None:
        self._path, self._picture = out / "metrics.jsonl", out / "training.png"
        self._enabled = enabled
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
        self._counts: Counter[str] = Counter()
        self._steps = 0
        columns = (BarColumn(), TextColumn("{task.percentage:>4.0f} %"), TimeElapsedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.description}")
        self._progress = Progress(text, *columns, disable=not enabled)
        self._task = self._progress.add_task("Training", total=1.0)
        self._last_validation = ""

    @contextmanager
    def progress_bar(self) -> Iterator[None]:
        """Show the bar inside the block."""
        with self._progress:
            yield

    def show(self, progress: float, step: int, epoch: float, losses: dict[str, Tensor]) -> None:
        """Move the bar and gather losses."""
        if not self._enabled:
            return
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value
            self._counts[name] += 1
        self._steps += 1
        if self._steps % _SHOW_EVERY:
            return
        # Reading a loss waits for the device; not at every step.
        loss = float(self._sums["loss"]) / self._steps
        text = f"epoch {epoch:.0f}  step {step}  loss {loss:.3f}  {self._last_validation}"
        self._progress.update(self._task, completed=min(progress, 1.0), description=text)

    def write(self, *, step: int, seconds: float, verdict: Verdict) -> None:
        """Add one line with the mean losses since the last one and the errors on held-out images."""
        # Each over the steps that had it: the pose losses start late.
        losses = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        self._steps = 0
        line = {"step": step, "seconds": round(seconds, 1), "losses": losses, "validation": verdict.summary}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._last_validation = f"val {verdict.headline}"
        _log.info("%.1f min, step %d: %s", seconds / 60, step, self._last_validation)

    def draw(self) -> None:
        """Draw the losses and the errors on held-out images over the time."""
        if not self._enabled or not self._path.is_file():
            return
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        minutes = [line["seconds"] / 60 for line in lines]
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for name in sorted({name for line in lines for name in line["losses"]} - {"loss"}):
            left.plot(minutes, [line["losses"].get(name, float("nan")) for line in lines], label=name)
        left.set(title="Losses", xlabel="minutes", yscale="log")
        left.legend(fontsize=8)
        for name in (name for name in lines[-1]["validation"] if name.endswith(("error_m", "_deg"))):
            right.plot(minutes, [line["validation"][name] for line in lines], label=name.replace("_", " "))
        right.set(title="Held-out images", xlabel="minutes", yscale="log")
        right.grid(which="both", alpha=0.3)
        right.legend(fontsize=8)
        figure.savefig(self._picture, dpi=120)
