"""The methods that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reloc_ros.training.dimm import DimmTask
from reloc_ros.training.distributed import World
from reloc_ros.training.encoder import EncoderTask
from reloc_ros.training.implicit_geometry import ImplicitGeometryTask
from reloc_ros.training.motion_encoder import MotionEncoderTask
from reloc_ros.training.mvl_loc import MvlLocTask
from reloc_ros.training.spr_mamba import SprMambaTask
from reloc_ros.training.task import Task

TASKS: dict[str, Callable[[Sequence[str], Path, Any, World], Task]] = {
    "implicit_geometry": ImplicitGeometryTask,
    "dimm": DimmTask,
    "encoder": EncoderTask,
    "mvl_loc": MvlLocTask,
    "motion_encoder": MotionEncoderTask,
    "spr_mamba": SprMambaTask,
}
