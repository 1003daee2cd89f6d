"""What to do next, from what the figures and the dropped frames say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reloc_ros.evaluation.verdict import CONTINUOUS
from reloc_ros.mapping.frames import Drop

_FAR_M = 0.5
_MUCH_BLUR, _MUCH_FROZEN, _MUCH_REST, _MANY_WITHOUT_POSE = 0.15, 0.05, 0.6, 0.1


def next_steps(
    selected: Mapping[str, Any], verdict: Mapping[str, Any], bundle: str, *, shortened: bool, off_path_m: float
) -> list[str]:
    """Return advice, the most useful first.

    Args:
        selected: result of the stage `select`.
        verdict: content of `verdict.json`.
        bundle: folder of the bundle.
        shortened: training was cut short by --max-minutes.
        off_path_m: how far the farthest held-out frame is from what was learned.
    """
    images, counts = selected["images"], selected["dropped"]
    usable = bool(verdict["uses"])
    missed = " ".join(check["figure"] for check in verdict["checks"] if not check["met"])
    without_pose = selected["without_pose"]
    too_early = not usable and shortened
    # Panoramas have no CameraInfo that would tell a reader what they are.
    lens = " --camera equirectangular" if selected["camera"]["model"] == "equirectangular" else ""
    advice = (
        (
            not usable and off_path_m > _FAR_M,
            (
                f"Held-out frames lie up to {off_path_m:.1f} m from the nearest learned camera position: the drive passes "
                "places only once. Drive every aisle twice, in both directions and on lines less than half a metre apart."
            ),
        ),
        (
            too_early,
            (
                "Train longer: --max-minutes cut the training below what so many frames need. Run again without it, and judge "
                "the rest after that."
            ),
        ),
        (
            verdict["frames"] < CONTINUOUS.min_frames,
            f"Only {verdict['frames']} frames were held out, too few for a firm verdict: record a longer drive.",
        ),
        (
            counts[Drop.JUMP.value] > 0,
            (
                f"The reference jumped (found: {selected['jumps']}): look at the red lines of the coverage picture, and map "
                "with a better localized robot; poses just outside the guard may be wrong as well."
            ),
        ),
        (
            counts[Drop.BLURRED.value] > _MUCH_BLUR * images,
            "Many frames are blurred: drive slower, turn slower, shorten the exposure or add light.",
        ),
        (
            counts[Drop.FROZEN.value] > _MUCH_FROZEN * images,
            "The camera repeated pictures while it moved: check its driver and the recording's bandwidth.",
        ),
        (
            without_pose > _MANY_WITHOUT_POSE * (images + without_pose),
            "Many images have no pose around their stamp: check clocks, or raise --max-gap-ms if poses are slow.",
        ),
        (
            counts[Drop.RESTING.value] > _MUCH_REST * images,
            "The camera mostly stood still: nothing is wrong, but a moving recording maps more in less time.",
        ),
        (
            not too_early and ("false-fix" in missed or "error" in missed),
            (
                "Look at the worst frames: places that look alike, or views that no learned frame shares, need another "
                "drive in the other direction and on other lines."
            ),
        ),
        (
            not too_early and ("availability" in missed or "recall" in missed),
            "Cover more: drive every aisle in both directions, and turn on the spot where the robot will.",
        ),
        (
            True,
            (
                "Drive once more on another day and judge the bundle on that before you rely on it; the held-out frames here "
                f"are from the same drive, in the same light: reloc evaluate {bundle} --bag OTHER{lens} --fault all --report OUT"
            ),
        ),
        (usable, f"Try it live: ros2 launch reloc_ros replay.launch.py bag:=OTHER bundle:={bundle}"),
    )
    return [text for applies, text in advice if applies]
