"""From the network's outputs to a pose: one file for each output kind, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reloc_ros.errors import BundleError
from reloc_ros.localization.solve import points, rays, regression
from reloc_ros.localization.solve.solution import Failure, Solution, Solver

__all__ = ["SOLVERS", "Failure", "Solution", "Solver", "create_solver"]

# Each takes the manifest's `solve` and raises BundleError where it cannot work with it.
SOLVERS: dict[str, Callable[[dict[str, Any]], Solver]] = {
    "points": points.create,
    "rays": rays.create,
    "regression": regression.create,
}


def create_solver(output_kind: str, settings: dict[str, Any]) -> Solver:
    """Return the solver of an output kind, with settings that are checked here and not at the first image.

    Raises:
        BundleError: this program has no such solver, or the settings are not its own.
    """
    if output_kind not in SOLVERS:
        raise BundleError(
            f"output_kind is {output_kind!r}, this program solves {', '.join(sorted(SOLVERS))}; update reloc_ros"
        )
    return SOLVERS[output_kind](settings)
