"""From the network's outputs to a pose: one file for each output kind, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import BundleError
from reloc_ros.localization.solve import points
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Outputs

__all__ = ["SOLVERS", "Failure", "Solution", "Solver", "SolverKind", "create_solver"]

# The camera is that of the image the network saw.
Solver = Callable[[Outputs, Camera], Solution | Failure]


@dataclass(frozen=True, kw_only=True)
class SolverKind:
    """How one output kind is solved.

    Args:
        read_settings: raises BundleError for a manifest's `solve` that the solver cannot work with.
        solve: from outputs, camera and the manifest's `solve` to a pose.
    """

    read_settings: Callable[[dict[str, Any]], object]
    solve: Callable[[Outputs, Camera, dict[str, Any]], Solution | Failure]


SOLVERS: dict[str, SolverKind] = {
    "points": SolverKind(read_settings=points.read_settings, solve=points.solve),
}


def create_solver(output_kind: str, settings: dict[str, Any]) -> Solver:
    """Return the solver of an output kind, bound to settings that were checked here and not at the first image.

    Raises:
        BundleError: this program has no such solver, or the settings are not its own.
    """
    if output_kind not in SOLVERS:
        raise BundleError(
            f"output_kind is {output_kind!r}, this program solves {', '.join(sorted(SOLVERS))}; update reloc_ros"
        )
    kind = SOLVERS[output_kind]
    kind.read_settings(settings)

    def solve(outputs: Outputs, camera: Camera) -> Solution | Failure:
        return kind.solve(outputs, camera, settings)

    return solve
