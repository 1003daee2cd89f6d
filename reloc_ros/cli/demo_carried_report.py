"""What the second act of the demo ends with: how far off the carried poses are, in figures and in a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray
from rich.table import Table

from reloc_ros.cli.demo_report import PLAN_CUT_M, PLAN_METRES_PER_PIXEL
from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.synthetic.carried_drive import CarriedDrive
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array

if TYPE_CHECKING:
    from reloc_ros.node.recorder import Recording

_MAP = "map"
_LIKELY_STDS = 3.0


@dataclass(frozen=True, kw_only=True)
class CarriedVerdict:
    """Figures of a second act.

    Args:
        blind_s: how long the front camera saw nothing.
        blind_m: way meanwhile.
        fixes: images with a pose in the map while it saw.
        fix_median_m: error of these; infinite without any, as are those below.
        carried: images with a pose in the map while it was blind, of
        blind_frames: so many.
        carried_median_m: error of these.
        carried_median_deg: the same, rotation.
        carried_end_m: error of the last of them.
        carried_end_deg: the same, rotation.
        standing_median_m: error over the same images of the last pose from before, had it been kept.
        honest: share of the carried poses that are off by no more than three of their standard deviations.
        back_s: from the camera's return to the next verified pose.
        translation_m: (N,) error of each image's pose in the map, infinite without one.
        rotation_deg: (N,) the same.
        std_m: (N,) what the pose claims: largest standard deviation of the position.
        position: (N, 3) of the pose, NaN without one.
    """

    blind_s: float
    blind_m: float
    fixes: int
    fix_median_m: float
    carried: int
    blind_frames: int
    carried_median_m: float
    carried_median_deg: float
    carried_end_m: float
    carried_end_deg: float
    standing_median_m: float
    honest: float
    back_s: float
    translation_m: Array = field(repr=False)
    rotation_deg: Array = field(repr=False)
    std_m: Array = field(repr=False)
    position: Array = field(repr=False)


def judge_carried(act: CarriedDrive, recording: Recording) -> CarriedVerdict:
    """Return the figures of what was received in the map, against the truth of the drive."""
    count = len(act.steps)
    translation_m, rotation_deg, std_m = np.full(count, np.inf), np.full(count, np.inf), np.full(count, np.nan)
    position = np.full((count, 3), np.nan)
    index_of = {int(stamp): index for index, stamp in enumerate(act.stamps_ns)}
    for stamp, estimated, covariance, frame in zip(
        recording.stamps_ns, recording.T_map_camera, recording.covariances, recording.map_frames
    ):
        if frame != _MAP:
            continue
        index = index_of[int(stamp)]
        translation_m[index] = translation_error_m(estimated, act.T_map_camera[index])
        rotation_deg[index] = rotation_error_deg(estimated, act.T_map_camera[index])
        std_m[index] = np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1])
        position[index] = estimated[:3, 3]
    answered, seconds = np.isfinite(translation_m), (act.stamps_ns - act.stamps_ns[0]) / 1e9
    fixed, carried = answered & ~act.blind, answered & act.blind
    dark = np.flatnonzero(act.blind)
    last = int(np.flatnonzero(carried)[-1]) if carried.any() else int(dark[-1])
    before = np.flatnonzero(answered[: dark[0]])
    standing = position[before[-1]] if len(before) else np.full(3, np.inf)
    after = np.flatnonzero(fixed & (np.arange(count) > dark[-1]))
    return CarriedVerdict(
        blind_s=float(seconds[dark[-1]] - seconds[dark[0]]),
        blind_m=float(act.travelled_m[dark[-1]] - act.travelled_m[dark[0]]),
        fixes=int(fixed.sum()),
        fix_median_m=_median(translation_m[fixed]),
        carried=int(carried.sum()),
        blind_frames=len(dark),
        carried_median_m=_median(translation_m[carried]),
        carried_median_deg=_median(rotation_deg[carried]),
        carried_end_m=float(translation_m[last]),
        carried_end_deg=float(rotation_deg[last]),
        standing_median_m=_median(np.linalg.norm(standing - act.T_map_camera[act.blind, :3, 3], axis=1)),
        honest=float(np.mean(translation_m[carried] <= _LIKELY_STDS * std_m[carried])) if carried.any() else 0.0,
        back_s=float(seconds[after[0]] - seconds[dark[-1]]) if len(after) else np.inf,
        translation_m=translation_m,
        rotation_deg=rotation_deg,
        std_m=std_m,
        position=position,
    )


def carried_table(verdict: CarriedVerdict) -> Table:
    """Return the table of the second act."""
    v = verdict
    table = Table(title="second act: absolute fixes are cut off", show_header=True, header_style="bold")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("over")
    blind = f"{v.blind_s:.1f} s and {v.blind_m:.1f} m with the front camera blind, without odometry"
    table.add_row("carried poses", f"{v.carried} of {v.blind_frames}", blind)
    carried = f"{v.carried} poses carried by the sequence"
    table.add_row("median error", f"{100 * v.carried_median_m:.0f} cm  {v.carried_median_deg:.1f} deg", carried)
    table.add_row(
        "error at the end", f"{100 * v.carried_end_m:.0f} cm  {v.carried_end_deg:.1f} deg", "the last of them"
    )
    table.add_row("last fix kept instead", f"{100 * v.standing_median_m:.0f} cm", "median error over the same images")
    table.add_row("within 3 sigma", f"{v.honest:.0%}", "of them, by their own covariance")
    table.add_row("median error of fixes", f"{100 * v.fix_median_m:.1f} cm", f"{v.fixes} poses before and after")
    return table


def write_carried_figure(
    act: CarriedDrive, verdict: CarriedVerdict, renderer: Renderer, world: World, path: Path
) -> None:
    """Draw the way on the floor plan, true, fixed and carried, and errors beside what the poses claim."""
    figure = Figure(figsize=(11, 11), layout="constrained")
    plan, metres, degrees = figure.subplots(3, 1, height_ratios=[4.2, 1, 1])
    carried = np.isfinite(verdict.translation_m) & act.blind
    fixed = np.isfinite(verdict.translation_m) & ~act.blind
    _draw_plan(plan, act, verdict, {"fixes": (fixed, "tab:blue"), "carried": (carried, "tab:orange")}, renderer, world)
    seconds = (act.stamps_ns - act.stamps_ns[0]) / 1e9
    for axes, errors, label in (
        (metres, verdict.translation_m, "error (m)"),
        (degrees, verdict.rotation_deg, "error (deg)"),
    ):
        axes.plot(seconds[fixed], errors[fixed], ".", color="tab:blue", label="fixes")
        axes.plot(seconds[carried], errors[carried], ".", color="tab:orange", label="carried")
        dark = seconds[act.blind]
        axes.axvspan(dark[0], dark[-1], color="black", alpha=0.15, label="front camera blind")
        # Room for the legend.
        highest = float(np.max(errors[fixed | carried], initial=0.1))
        axes.set(xlim=(seconds[0], seconds[-1]), ylim=(0.0, 1.35 * highest), ylabel=label)
        axes.grid(visible=True, alpha=0.3)
    metres.plot(seconds, verdict.std_m, color="grey", linewidth=1.0, label="std that the pose claims")
    metres.legend(loc="upper left", ncols=4, fontsize=8)
    degrees.set_xlabel("time (s)")
    save_figure(figure, path)


def _draw_plan(
    axes: Axes,
    act: CarriedDrive,
    verdict: CarriedVerdict,
    kinds: dict[str, tuple[NDArray[np.bool_], str]],
    renderer: Renderer,
    world: World,
) -> None:
    (x0, y0, _), (x1, y1, _) = world.mesh.bounds
    picture = renderer.floor_plan((x0, y0, x1, y1), world.floor_m + PLAN_CUT_M, PLAN_METRES_PER_PIXEL)
    axes.imshow(picture // 2 + 127, extent=(x0, x1, y0, y1), interpolation="bilinear")
    true = act.T_map_camera[:, :2, 3]
    axes.plot(*true.T, color="black", linewidth=1.6, label="true way")
    axes.plot(*true[act.blind].T, color="black", linewidth=6, alpha=0.3, solid_capstyle="round", label="camera blind")
    axes.add_patch(Circle((float(true[0, 0]), float(true[0, 1])), 0.1, color="tab:green", label="start"))
    for label, (chosen, colour) in kinds.items():
        axes.plot(*verdict.position[chosen, :2].T, ".", color=colour, markersize=5, label=label)
    axes.set(xlim=(x0, x1), ylim=(y0, y1), xlabel="x (m)", ylabel="y (m)", aspect="equal")
    axes.set_title(
        f"no fixes for {verdict.blind_s:.0f} s and {verdict.blind_m:.1f} m: the sequence is off by "
        f"{100 * verdict.carried_median_m:.0f} cm (median) and {100 * verdict.carried_end_m:.0f} cm (end), "
        f"the last fix by {100 * verdict.standing_median_m:.0f} cm (median)"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=6, fontsize=8, frameon=False)


def _median(errors: Array) -> float:
    return quantile(errors.tolist(), 0.5) if len(errors) else np.inf
