"""From the network's outputs to a pose: one file for each output kind."""

from __future__ import annotations

from typing import Any

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import BundleError
from reloc_ros.localization.solve.solution import Failure, Solution, Solver
from reloc_ros.types import Outputs

__all__ = ["SOLVERS", "Failure", "Solution", "Solver", "find_solver"]


def _points(outputs: Outputs, camera: Camera, settings: dict[str, Any]) -> Solution | Failure:
    from reloc_ros.localization.solve import points

    return points.solve(outputs, camera, settings)


SOLVERS: dict[str, Solver] = {
    "points": _points,
}


def find_solver(output_kind: str) -> Solver:
    """Return the solver of an output kind.

    Raises:
        BundleError: this program has no such solver.
    """
    if output_kind not in SOLVERS:
        raise BundleError(
            f"output_kind is {output_kind!r}, this program solves {', '.join(sorted(SOLVERS))}; update reloc_ros"
        )
    return SOLVERS[output_kind]
