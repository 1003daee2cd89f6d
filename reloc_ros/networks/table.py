"""The networks by method: what exporting and running one needs to know beyond its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from reloc_ros.networks import dimm, implicit_geometry, mvl_loc, spr_mamba


@dataclass(frozen=True, kw_only=True)
class NetworkKind:
    """One method's network.

    Args:
        output_kind: key of the solver table that its outputs are for.
        output_names: of its tensors, in order.
        takes_rays: whether its second input is the rays of the cells.
        from_checkpoint: makes the trained network, in evaluation mode, from what a checkpoint holds.
        untrained: makes a checkpoint with random weights from a training configuration, to measure time.
    """

    output_kind: str
    output_names: tuple[str, ...]
    takes_rays: bool
    from_checkpoint: Callable[[dict[str, Any]], nn.Module]
    untrained: Callable[[dict[str, Any]], dict[str, Any]]


NETWORKS: dict[str, NetworkKind] = {
    "implicit_geometry": NetworkKind(
        output_kind="points",
        output_names=implicit_geometry.OUTPUT_NAMES,
        takes_rays=False,
        from_checkpoint=implicit_geometry.from_checkpoint,
        untrained=implicit_geometry.untrained,
    ),
    "dimm": NetworkKind(
        output_kind="rays",
        output_names=dimm.OUTPUT_NAMES,
        takes_rays=True,
        from_checkpoint=dimm.from_checkpoint,
        untrained=dimm.untrained,
    ),
    "mvl_loc": NetworkKind(
        output_kind="regression",
        output_names=mvl_loc.OUTPUT_NAMES,
        takes_rays=False,
        from_checkpoint=mvl_loc.from_checkpoint,
        untrained=mvl_loc.untrained,
    ),
    "spr_mamba": NetworkKind(
        output_kind="sequence",
        output_names=spr_mamba.OUTPUT_NAMES,
        takes_rays=False,
        from_checkpoint=spr_mamba.from_checkpoint,
        untrained=spr_mamba.untrained,
    ),
}
