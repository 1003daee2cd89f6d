"""What the demo ends with: the figures, a table and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from rich.table import Table

from reloc_ros.evaluation.metrics import quantile
from reloc_ros.evaluation.plots import save_figure
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.synthetic.demo_drive import DemoDrive
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array

if TYPE_CHECKING:
    from reloc_ros.cli.demo_carried_report import CarriedVerdict
    from reloc_ros.node.recorder import Recording

WRONG_M, WRONG_DEG = 0.5, 10.0
"""A published pose farther off than this is wrong: worse than none."""
PLAN_CUT_M = 1.95
PLAN_METRES_PER_PIXEL = 0.01
SHOWN_MAX_M = 0.5
ERROR_COLOURS = "plasma"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Figures of one demo.

    Args:
        frames: images in which something can be seen.
        poses: of them, those with a published pose.
        median_m: translation error of the published poses; infinite without any, as are the next three.
        median_deg: rotation error.
        p90_m: translation error.
        p90_deg: rotation error.
        availability: share of `frames` with a pose.
        false_fixes: poses farther off than `WRONG_M` or `WRONG_DEG`, over all images.
        withheld: images with a pose that was not trusted, and so not published.
        black_frames: images taken in the dark.
        black_answered: of those, how many got a pose (should be none).
        start_s: from the first image to the first right pose; infinite without one.
        recovery_s: from the kidnap to the first right pose; infinite without one.
        latency_p50_ms: image arrival to publication, in the node.
        latency_p99_ms: the same.
        dropped: images replaced by a newer one before the node got to them.
        received: images that reached the node.
        sent: images in the bag.
        rejected_by_reason: images that did not localize.
        translation_m: (N,) error of each image, infinite without a published pose.
        rotation_deg: (N,) the same.
        position: (N, 3) estimated camera position, NaN without a pose.
    """

    frames: int
    poses: int
    median_m: float
    median_deg: float
    p90_m: float
    p90_deg: float
    availability: float
    false_fixes: int
    withheld: int
    black_frames: int
    black_answered: int
    start_s: float
    recovery_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    dropped: int
    received: int
    sent: int
    rejected_by_reason: dict[str, int]
    translation_m: Array = field(repr=False)
    rotation_deg: Array = field(repr=False)
    position: Array = field(repr=False)


def judge(demo: DemoDrive, recording: Recording) -> Verdict:
    """Return the figures of what was received, against the truth of the drive."""
    count = len(demo.steps)
    translation_m, rotation_deg = np.full(count, np.inf), np.full(count, np.inf)
    position = np.full((count, 3), np.nan)
    index_of = {int(stamp): index for index, stamp in enumerate(demo.stamps_ns)}
    for stamp, estimated in zip(recording.stamps_ns, recording.T_map_camera):
        index = index_of[int(stamp)]
        translation_m[index] = translation_error_m(estimated, demo.T_map_camera[index])
        rotation_deg[index] = rotation_error_deg(estimated, demo.T_map_camera[index])
        position[index] = estimated[:3, 3]
    answered, lit = np.isfinite(translation_m), ~demo.black
    right = answered & (translation_m <= WRONG_M) & (rotation_deg <= WRONG_DEG)
    values = recording.diagnostics[-1] if recording.diagnostics else {}
    # Without any pose the errors are infinite.
    shown = answered if answered.any() else lit
    shown_m, shown_deg = translation_m[shown].tolist(), rotation_deg[shown].tolist()

    def seconds_to_right_pose(since_ns: int) -> float:
        after = np.flatnonzero(right & (demo.stamps_ns >= since_ns))
        return float(demo.stamps_ns[after[0]] - since_ns) / 1e9 if len(after) else np.inf

    return Verdict(
        frames=int(lit.sum()),
        poses=int(answered[lit].sum()),
        median_m=quantile(shown_m, 0.5),
        median_deg=quantile(shown_deg, 0.5),
        p90_m=quantile(shown_m, 0.9),
        p90_deg=quantile(shown_deg, 0.9),
        availability=float(answered[lit].mean()),
        false_fixes=int((answered & ~right).sum()),
        withheld=int(values.get("frames_withheld", 0)),
        black_frames=int(demo.black.sum()),
        black_answered=int((answered & demo.black).sum()),
        start_s=seconds_to_right_pose(int(demo.stamps_ns[0])),
        recovery_s=seconds_to_right_pose(demo.kidnap_ns),
        latency_p50_ms=float(values.get("latency_p50_ms", np.inf)),
        latency_p99_ms=float(values.get("latency_p99_ms", np.inf)),
        dropped=int(values.get("frames_dropped", 0)),
        received=int(values.get("frames_in", 0)),
        sent=count,
        rejected_by_reason={
            key.removeprefix("rejected_"): int(value)
            for key, value in values.items()
            if key.startswith("rejected_") and value != "0"
        },
        translation_m=translation_m,
        rotation_deg=rotation_deg,
        position=position,
    )


def result_table(verdict: Verdict) -> Table:
    """Return the closing table."""
    v = verdict
    table = Table(title="reloc demo", show_header=True, header_style="bold")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("over")
    lit = f"{v.frames} images with light"
    published = f"{v.poses} published poses"
    table.add_row("time to find itself", f"{v.start_s:.1f} s", "from the first image to the first right pose")
    table.add_row("time to recover", f"{v.recovery_s:.1f} s", "from the kidnap, of which nobody tells, to the same")
    table.add_row("false fixes", f"{v.false_fixes}", f"published, off by more than {WRONG_M:g} m or {WRONG_DEG:g} deg")
    table.add_row("median error", f"{100 * v.median_m:.1f} cm  {v.median_deg:.2f} deg", published)
    table.add_row("p90 error", f"{100 * v.p90_m:.1f} cm  {v.p90_deg:.2f} deg", published)
    table.add_row("availability", f"{v.availability:.1%}", lit)
    table.add_row("withheld", f"{v.withheld}", "images whose pose was not trusted")
    table.add_row("poses in the dark", f"{v.black_answered}", f"{v.black_frames} black images")
    table.add_row("latency p50 / p99", f"{v.latency_p50_ms:.1f} / {v.latency_p99_ms:.1f} ms", "image in to pose out")
    table.add_row("dropped", f"{v.dropped}", f"{v.received} images received, {v.sent} sent")
    reasons = ", ".join(f"{count} {reason}" for reason, count in v.rejected_by_reason.items()) or "none"
    table.add_row("rejected", str(sum(v.rejected_by_reason.values())), reasons)
    return table


def write_json(verdict: Verdict, path: Path, carried: CarriedVerdict | None = None) -> None:
    """Write the figures, without the ones of each image; what is infinite becomes null."""
    figures = _plain(asdict(verdict))
    if carried is not None:
        figures["second_act"] = _plain(asdict(carried))
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
        if not isinstance(value, np.ndarray)
    }


def write_figure(demo: DemoDrive, verdict: Verdict, renderer: Renderer, world: World, path: Path) -> None:
    """Draw the way on the floor plan, coloured by error, and the errors over time."""
    figure = Figure(figsize=(11, 12.5), layout="constrained")
    plan, metres, degrees = figure.subplots(3, 1, height_ratios=[4.6, 1, 1])
    _draw_plan(figure, plan, demo, verdict, renderer, world)
    seconds = (demo.stamps_ns - demo.stamps_ns[0]) / 1e9
    _draw_errors(metres, demo, seconds, verdict.translation_m, (0.005, 10.0), WRONG_M, "error (m)")
    _draw_errors(degrees, demo, seconds, verdict.rotation_deg, (0.05, 180.0), WRONG_DEG, "error (deg)")
    kidnap_s = (demo.kidnap_ns - demo.stamps_ns[0]) / 1e9
    for axes in (metres, degrees):
        for begin_s, lasts_s in ((0.0, verdict.start_s), (kidnap_s, verdict.recovery_s)):
            end_s = min(begin_s + lasts_s, seconds[-1])
            axes.axvspan(begin_s, end_s, color="tab:orange", alpha=0.2, label=None if begin_s else "finding itself")
    metres.legend(loc="lower right", ncols=5, fontsize=8)
    degrees.set_xlabel("time (s)")
    save_figure(figure, path)


def _draw_plan(figure: Figure, axes: Axes, demo: DemoDrive, verdict: Verdict, renderer: Renderer, world: World) -> None:
    (x0, y0, _), (x1, y1, _) = world.mesh.bounds
    picture = renderer.floor_plan((x0, y0, x1, y1), world.floor_m + PLAN_CUT_M, PLAN_METRES_PER_PIXEL)
    # Paled, so that the way stands out.
    axes.imshow(picture // 2 + 127, extent=(x0, x1, y0, y1), interpolation="bilinear")
    true, gap = demo.T_map_camera[:, :2, 3], int(np.argmax(demo.stamps_ns >= demo.kidnap_ns))
    for piece, label in ((slice(0, gap), "true way"), (slice(gap, None), None)):
        axes.plot(*true[piece].T, color="black", linewidth=1.6, label=label)
    axes.plot(*true[demo.black].T, color="black", linewidth=6, alpha=0.55, solid_capstyle="round", label="black-out")
    arrow = {"arrowstyle": "-|>", "linestyle": "--", "color": "tab:red", "linewidth": 1.8, "mutation_scale": 20}
    axes.annotate("", xy=true[gap], xytext=true[gap - 1], arrowprops=arrow, zorder=4)
    axes.plot([], [], "--", color="tab:red", linewidth=1.8, label="kidnap")
    axes.add_patch(Circle(true[0], 0.1, color="tab:green", label="start"))
    shown = np.isfinite(verdict.translation_m)
    points = axes.scatter(
        *verdict.position[shown, :2].T, c=np.minimum(verdict.translation_m[shown], SHOWN_MAX_M), s=14,
        cmap=ERROR_COLOURS, vmin=0.0, vmax=SHOWN_MAX_M, edgecolors="white", linewidths=0.3, zorder=3, label="estimates",
    )  # fmt: skip
    missed = ~shown & ~demo.black
    axes.plot(*true[missed].T, "x", color="tab:red", markersize=4, label="no pose")
    figure.colorbar(points, ax=axes, label="error (m)", shrink=0.8)
    axes.set(xlim=(x0, x1), ylim=(y0, y1), xlabel="x (m)", ylabel="y (m)", aspect="equal")
    axes.set_title(
        f"lost for {verdict.start_s:.1f} s at the start and {verdict.recovery_s:.1f} s after the kidnap; "
        f"{verdict.poses} poses, median {100 * verdict.median_m:.1f} cm {verdict.median_deg:.2f} deg, "
        f"{verdict.false_fixes} false"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=6, fontsize=8, frameon=False)


def _draw_errors(
    axes: Axes, demo: DemoDrive, seconds: Array, errors: Array, limits: tuple[float, float], wrong: float, label: str
) -> None:
    kidnap_s, dark = (demo.kidnap_ns - demo.stamps_ns[0]) / 1e9, seconds[demo.black]
    shown = np.isfinite(errors)
    axes.semilogy(seconds[shown], np.clip(errors[shown], *limits), ".", markersize=3, color="tab:blue", label="pose")
    axes.plot(seconds[~shown], np.full((~shown).sum(), limits[1]), "|", color="tab:red", markersize=9, label="no pose")
    if len(dark):
        axes.axvspan(dark[0], dark[-1], color="black", alpha=0.25, label="black-out")
    axes.axvline(kidnap_s, color="tab:red", linestyle="--", label="kidnap")
    axes.axhline(wrong, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlim=(seconds[0], seconds[-1]), ylim=(limits[0], limits[1] * 1.5), ylabel=label)
    axes.grid(visible=True, alpha=0.3)
