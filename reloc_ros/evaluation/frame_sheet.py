"""Best, middle, worst and rejected frames side by side, with what each pose rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reloc_ros.datasets.posed_images import PosedImage
from reloc_ros.evaluation.fault_drives import FaultRun
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.localization.picture import Caption, annotate, sheet, verdict
from reloc_ros.types import Estimate, Frame, Image, Reason, Rejected

EACH = 4
"""Frames of one kind."""

_TILE_PX, _LINES = 400, 3
_VIEWS = 30
"""Frames of one kind are more than this part of the data set apart."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Indices of the frames to show, at most `EACH` of a kind and none twice; `elsewhere` has poses in another scene."""

    best: tuple[int, ...]
    middle: tuple[int, ...]
    worst: tuple[int, ...]
    elsewhere: tuple[int, ...]
    rejected: tuple[int, ...]


def choose(results: Sequence[FrameResult]) -> Chosen:
    """Return which frames to show: by translation error, and rejected ones of as many reasons as there are.

    Frames of one kind lie apart, for neighbours in a video look alike: the worst is the worst of all, the second the
    worst of those that are not next to it, and so on.
    """
    accepted = [i for i, result in enumerate(results) if result.pose is not None]
    ranked = sorted(accepted, key=lambda i: (results[i].translation_error_m, i))
    # The best third, the middle one and the worst: a frame is shown as one thing only.
    low, high = -(-len(ranked) // 3), len(ranked) - (len(ranked) + 1) // 3
    centre = (low + high - 1) / 2
    outwards = sorted(range(low, high), key=lambda rank: abs(rank - centre))
    apart = len(results) // _VIEWS
    elsewhere = [
        i for i, result in enumerate(results) if result.pose is None and isinstance(result.localization, Estimate)
    ]
    return Chosen(
        best=_pick_apart(ranked[:low], apart),
        middle=_pick_apart([ranked[rank] for rank in outwards], apart),
        worst=_pick_apart(ranked[high:][::-1], apart),
        elsewhere=_pick_apart(elsewhere, apart),
        rejected=_rejected(results, apart),
    )


def frame_sheet(
    results: Sequence[FrameResult],
    images: Sequence[PosedImage],
    network_view: Callable[[Frame], Image | None],
    unit: str,
) -> Image:
    """Return the pictures of the chosen frames, one kind in a row.

    Args:
        results: at least one.
        images: those that the results are about, in the same order.
        network_view: what the network saw of a frame; where it refused it, the frame itself is shown.
        unit: of lengths in the map.
    """
    chosen = choose(results)

    def tiles(kind: str, indices: Sequence[int]) -> list[Image]:
        return [_tile(kind, results[i], images[i], network_view, unit) for i in indices]

    return sheet(
        [
            tiles("best", chosen.best),
            tiles("middle", chosen.middle),
            tiles("worst", chosen.worst),
            tiles("elsewhere", chosen.elsewhere),
            tiles("rejected", chosen.rejected),
        ]
    )


def fault_sheet(faults: Mapping[str, FaultRun]) -> Image | None:
    """Return spoilt frames and what became of them, one fault in a row; None where no image was spoilt."""
    rows = []
    for name, run in faults.items():
        count = len(run.images)
        shown = sorted({(2 * k + 1) * count // (2 * EACH) for k in range(EACH)}) if count else []
        rows.append([_spoilt_tile(name, run.images[i], run.results[i]) for i in shown])
    return sheet(rows) if any(rows) else None


def _spoilt_tile(fault: str, image: PosedImage, result: FrameResult) -> Image:
    found = result.localization
    if isinstance(found, Rejected):
        text = f"{fault}: rejected, {found.reason.value}"
    else:
        text = f"{fault}: off by {result.translation_error_m:.3f}, {result.rotation_error_deg:.1f} deg"
    caption = Caption(verdict=text, is_pose=result.is_right_fix, notes=(result.name,))
    return annotate(image.frame().image, caption, width_px=_TILE_PX, lines=_LINES)


def _pick_apart(indices: Sequence[int], apart: int, given: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the given and the first of the indices that are more than `apart` from each other, `EACH` at most."""
    picked = list(given)
    for i in indices:
        if len(picked) < EACH and all(abs(i - other) > apart for other in picked):
            picked.append(i)
    return tuple(picked)


def _rejected(results: Sequence[FrameResult], apart: int) -> tuple[int, ...]:
    """Return the first rejected frame of each reason, then others."""
    reasons = {i: r.localization.reason for i, r in enumerate(results) if isinstance(r.localization, Rejected)}
    first: dict[Reason, int] = {}
    for i, reason in reasons.items():
        first.setdefault(reason, i)
    return _pick_apart(list(reasons), apart, list(first.values())[:EACH])


def _tile(
    kind: str, result: FrameResult, image: PosedImage, network_view: Callable[[Frame], Image | None], unit: str
) -> Image:
    frame = image.frame()
    seen = network_view(frame)
    shown = frame.image if seen is None else seen
    found = result.localization
    if isinstance(found, Rejected):
        caption = Caption(verdict=verdict(found), is_pose=False, notes=(result.name,))
        return annotate(shown, caption, width_px=_TILE_PX, lines=_LINES)
    errors = f"{kind}: off by {result.translation_error_m:.3f} {unit}, {result.rotation_error_deg:.2f} deg"
    if result.pose is None:
        errors = f"taken for {found.scene}, it is {result.scene}"
    std = np.sqrt(np.diag(found.covariance))
    claimed = f"std {np.max(std[:3]):.3f} {unit}, {np.degrees(np.max(std[3:])):.2f} deg; scene {found.scene}"
    caption = Caption(verdict=errors, is_pose=result.pose is not None, notes=(claimed, result.name))
    return annotate(shown, caption, found.cell_weights, width_px=_TILE_PX, lines=_LINES)
