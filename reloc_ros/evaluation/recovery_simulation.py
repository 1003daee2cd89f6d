"""Kidnapped robots without ROS and without images: what trust costs, and what it is worth.

Simulated drives are drawn once and replayed with any settings, so that settings are compared on the same luck. This
is where the defaults of `RecoverySettings` come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.evaluation.simulated_drives import SCENARIOS, Sample, Scenario, draw_run
from reloc_ros.localization.decision import Decision
from reloc_ros.localization.fusion import NS_PER_S, OdometryNoise
from reloc_ros.localization.recovery import Recovery
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.types import Array

FALSE_M, FALSE_DEG = 0.5, 10.0
RIGHT_M, RIGHT_DEG = 0.25, 5.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a replay of one run came to.

    Args:
        published: (N, 2) errors of published poses, metres and degrees.
        raw: (N, 2) errors of the single fixes behind them.
        fixes: (N, 2) errors of all fixes, which a node without this machine would have published.
        images: in the run.
        available: images at which a right `map -> odom` was trusted.
        misled_s: time during which a wrong one was; right after a kidnap nobody can know.
        recovered_s: from the kidnap, or the start, to a right one; None: never.
    """

    published: Array
    raw: Array
    fixes: Array
    images: int
    available: int
    misled_s: float
    recovered_s: float | None

    @property
    def false_fixes(self) -> int:
        """Published poses that are wrong."""
        return _count_false(self.published)


def decisions(
    samples: Sequence[Sample], settings: RecoverySettings, noise: OdometryNoise, *, signalled: bool
) -> Iterator[tuple[Sample, Decision]]:
    """Yield what a machine with these settings decides at each sample of a run; `signalled`: it is told of a kidnap."""
    recovery = Recovery(settings, noise)
    for sample in samples:
        if sample.kidnapped and signalled:
            recovery.on_loss("the simulated robot was lifted")
        if sample.fix is None:
            yield sample, recovery.on_rejected(sample.stamp_ns, sample.T_odom_body, "simulated rejection")
        else:
            yield sample, recovery.on_fix(sample.fix)


def replay(
    samples: Sequence[Sample], settings: RecoverySettings, noise: OdometryNoise, *, signalled: bool = False
) -> Outcome:
    """Return what a machine with these settings makes of a run."""
    published, raw, fixes, available, misled_ns = [], [], [], 0, 0
    since_ns, recovered_s = samples[0].stamp_ns, None
    step_ns = samples[1].stamp_ns - samples[0].stamp_ns
    for sample, decision in decisions(samples, settings, noise, signalled=signalled):
        if sample.kidnapped:
            since_ns, recovered_s = sample.stamp_ns, None
        if sample.fix is not None:
            fixes.append(_errors(sample.fix.T_map_body, sample))
            if decision.publish is not None:
                published.append(_errors(decision.publish.T_map_body, sample))
                raw.append(fixes[-1])
        if decision.trusted is not None:
            error_m, error_deg = _errors(decision.trusted.T_map_body, sample)
            wrong = error_m > FALSE_M or error_deg > FALSE_DEG
            available += not wrong
            misled_ns += step_ns * wrong
            if recovered_s is None and error_m <= RIGHT_M and error_deg <= RIGHT_DEG:
                recovered_s = (sample.stamp_ns - since_ns) / NS_PER_S
    return Outcome(
        published=_error_table(published),
        raw=_error_table(raw),
        fixes=_error_table(fixes),
        images=len(samples),
        available=available,
        misled_s=misled_ns / NS_PER_S,
        recovered_s=recovered_s,
    )


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of a report over many runs."""
    times = [outcome.recovered_s for outcome in outcomes if outcome.recovered_s is not None]
    published, raw = (np.concatenate([getattr(o, name) for o in outcomes]) for name in ("published", "raw"))
    return {
        "kidnaps": len(outcomes),
        "success_rate": len(times) / len(outcomes),
        "time_to_recover_s": {"p50": _quantile(times, 0.5), "p90": _quantile(times, 0.9)},
        "false_fixes": sum(outcome.false_fixes for outcome in outcomes),
        "false_fixes_unguarded": sum(_count_false(outcome.fixes) for outcome in outcomes),
        "published": len(published),
        "availability": sum(o.available for o in outcomes) / sum(o.images for o in outcomes),
        "misled_s": {"p50": _quantile([o.misled_s for o in outcomes], 0.5), "max": max(o.misled_s for o in outcomes)},
        "fused_error": _error_figures(published),
        "single_fix_error": _error_figures(raw),
    }


def draw_runs(name: str, *, kidnaps: int, seed: int) -> list[list[Sample]]:
    """Return drives of a scenario of `SCENARIOS`; drive i of a seed is the same however many are asked for."""
    return [draw_run(SCENARIOS[name], np.random.default_rng([seed, index])) for index in range(kidnaps)]


def run_scenario(
    name: str, *, kidnaps: int, seed: int, settings: RecoverySettings, noise: OdometryNoise | None = None
) -> dict[str, Any]:
    """Return the figures of a scenario of `SCENARIOS`."""
    return _figures(SCENARIOS[name], draw_runs(name, kidnaps=kidnaps, seed=seed), settings, noise or OdometryNoise())


def trade_off(
    name: str,
    *,
    kidnaps: int,
    seed: int,
    settings: RecoverySettings,
    votes: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0),
    on_point: Callable[[float], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the figures of a scenario over the evidence that trust asks for: the same drives for every point.

    Args:
        name: of `SCENARIOS`.
        kidnaps: drives.
        seed: of the drives.
        settings: all that does not vary; votes without a loss signal and with a prior keep their proportion.
        votes: values of `votes_to_accept`.
        on_point: told each value when it is done, for a progress bar.

    Returns:
        for each value the figures of `summarize` and `votes_to_accept`.
    """
    runs, points = draw_runs(name, kidnaps=kidnaps, seed=seed), []
    for value in votes:
        figures = _figures(SCENARIOS[name], runs, settings.with_votes(value), OdometryNoise())
        points.append({"votes_to_accept": value, **figures})
        if on_point is not None:
            on_point(value)
    return points


def _figures(
    scenario: Scenario, runs: Sequence[Sequence[Sample]], settings: RecoverySettings, noise: OdometryNoise
) -> dict[str, Any]:
    return summarize([replay(run, settings, noise, signalled=scenario.signalled) for run in runs])


def _errors(T_map_body: Array, sample: Sample) -> tuple[float, float]:
    return translation_error_m(T_map_body, sample.T_map_body), rotation_error_deg(T_map_body, sample.T_map_body)


def _error_table(errors: list[tuple[float, float]]) -> Array:
    return np.reshape(np.array(errors, dtype=np.float64), (-1, 2))


def _count_false(errors: Array) -> int:
    return int(np.sum((errors[:, 0] > FALSE_M) | (errors[:, 1] > FALSE_DEG)))


def _error_figures(errors: Array) -> dict[str, float | None]:
    return {
        f"{name}_{unit}": _quantile(errors[:, column].tolist(), level)
        for column, unit in enumerate(("m", "deg"))
        for name, level in (("median", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _quantile(values: Sequence[float], level: float) -> float | None:
    return float(np.quantile(values, level)) if len(values) else None
