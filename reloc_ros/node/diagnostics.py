"""What /diagnostics says: pure functions from the node's view of itself, each with the value and its limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from reloc_ros.localization.decision import State
from reloc_ros.node.conversions import ns_to_stamp
from reloc_ros.node.sequence_view import SequenceView
from reloc_ros.node.settings import Settings
from reloc_ros.node.statistics import Summary
from reloc_ros.types import Array, Reason

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True, kw_only=True)
class TrustView:
    """What the node believes.

    Args:
        rule: parameter `trust`.
        role: parameter `role`.
        state: of the state machine.
        cause: why it is in this state.
        detail: the same in words.
        map_frame: that the poses are in.
        monitors: what they say.
        initialpose: what became of the latest given or saved pose.
        handover: how far navigation took our pose; empty for an authority.
        handover_failed: navigation took none.
    """

    rule: str = ""
    role: str = ""
    state: State = State.INIT
    cause: str = ""
    detail: str = ""
    map_frame: str = ""
    monitors: str = ""
    initialpose: str = ""
    handover: str = ""
    handover_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class NodeView:
    """What the node knows about itself.

    Args:
        name: full node name, without the first slash.
        lifecycle: `unconfigured`, `inactive`, `active` or `finalized`.
        model: `none`, `loading`, `ready`, `failed` or `ended`.
        problem: why configuring or loading failed; empty when it did not.
        bundle: folder given.
        method: of the bundle; empty until the model is ready, as are the next five.
        backend: what runs the network.
        precision: of the network.
        device: it runs on.
        verdict: how the poses of this precision compare with those in float32; empty for float32 itself.
        engine: how the search for an engine stands; empty where none is searched for.
        tf_mode: as set.
        trust: what it believes.
        sequence: how that stands; None where the bundle is of single images.
    """

    name: str
    lifecycle: str
    model: str
    problem: str = ""
    bundle: str = ""
    method: str = ""
    backend: str = ""
    precision: str = ""
    device: str = ""
    verdict: str = ""
    engine: str = ""
    tf_mode: str = ""
    trust: TrustView = TrustView()
    sequence: SequenceView | None = None


def diagnose(view: NodeView, summary: Summary, settings: Settings, stamp_ns: int) -> DiagnosticArray:
    """Return the whole message."""
    message = DiagnosticArray()
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.status = [
        model_status(view),
        trust_status(view),
        frames_status(view, summary, settings.max_rejection_rate, settings.max_fix_age_s),
        scene_status(view, summary),
        latency_status(view, summary, settings.max_latency_s),
    ]
    if view.sequence is not None:
        message.status.append(sequence_status(view, view.sequence))
    return message


def model_status(view: NodeView) -> DiagnosticStatus:
    """Return the state of node and model; an error when the model cannot be used."""
    level, text = OK, f"{view.lifecycle}, model {view.model}"
    if view.problem:
        level, text = ERROR, view.problem
    elif view.model == "ended":
        level, text = ERROR, "the worker thread has ended; clean up and configure the node again"
    elif view.model == "loading":
        level, text = WARN, "the model is being loaded; images wait"
    elif "failed" in view.engine and "found" not in view.engine:
        level, text = WARN, f"{text}, on {view.backend} because the engine {view.engine}"
    values = {
        "state": view.lifecycle,
        "model": view.model,
        "bundle": view.bundle,
        "method": view.method,
        "backend": view.backend,
        "precision": view.precision,
        "device": view.device,
        "pose_verdict": view.verdict,
        "engine": view.engine,
        "tf_mode": view.tf_mode,
    }
    return _status(view, "model", level, text, values)


def trust_status(view: NodeView) -> DiagnosticStatus:
    """Return what is believed and why; a warning while nothing is published, an error when navigation does not listen."""
    trust = view.trust
    level, text = OK, f"{trust.state.value}: {trust.detail}" if trust.detail else trust.state.value
    if trust.handover_failed:
        level, text = ERROR, f"navigation took no initial pose ({trust.handover}); is it running?"
    elif view.lifecycle == "active" and trust.state is not State.TRACKING:
        level = WARN
    values = {
        "trust": trust.rule,
        "role": trust.role,
        "trust_state": trust.state.value,
        "trust_cause": trust.cause,
        "trust_detail": trust.detail,
        "map_frame": trust.map_frame,
        "monitors": trust.monitors,
        "initialpose": trust.initialpose,
        "handover": trust.handover,
    }
    return _status(view, "trust", level, text, values)


def frames_status(
    view: NodeView, summary: Summary, max_rejection_rate: float, max_fix_age_s: float
) -> DiagnosticStatus:
    """Return what became of the frames; a warning when too many are rejected or the last pose is too old."""
    level, text = OK, f"{summary.counts['accepted']} poses from {summary.counts['in']} frames"
    too_old = summary.fix_age_s is not None and summary.fix_age_s > max_fix_age_s
    if view.lifecycle == "active":
        if summary.counts["in"] == 0:
            level, text = WARN, "no image yet; check the image topic"
        elif summary.recent_rejected > max_rejection_rate:
            rate = f"{summary.recent_rejected:.0%} of the latest frames rejected (limit {max_rejection_rate:.0%})"
            level, text = WARN, f"{rate}, last: {summary.last_rejection}"
        elif too_old:
            level, text = WARN, f"last pose is {summary.fix_age_s:.1f} s old (limit {max_fix_age_s:g} s)"
    values = {f"frames_{event}": str(count) for event, count in summary.counts.items()}
    values["frames_rejected"] = str(sum(summary.rejected.values()))
    values.update({f"rejected_{reason.value}": str(summary.rejected.get(reason, 0)) for reason in Reason})
    values["last_rejection"] = summary.last_rejection
    values["recent_rejection_rate"] = f"{summary.recent_rejected:.3f}"
    values["recent_rejection_rate_limit"] = f"{max_rejection_rate:g}"
    values["fix_age_s"] = "" if summary.fix_age_s is None else f"{summary.fix_age_s:.2f}"
    values["fix_age_limit_s"] = f"{max_fix_age_s:g}"
    return _status(view, "frames", level, text, values)


def scene_status(view: NodeView, summary: Summary) -> DiagnosticStatus:
    """Return where the latest accepted pose is, how sure that is, and the operator's hint."""
    sure = "" if summary.scene_probability is None else f"{summary.scene_probability:.3f}"
    text = f"in {summary.scene}" if summary.scene else "no pose yet"
    if sure:
        text += f" ({summary.scene_probability:.0%})"
    if summary.scene_hint:
        text += f", hint: {summary.scene_hint}"
    values = {
        "scene": summary.scene,
        "scene_probability": sure,
        "scene_hint": summary.scene_hint,
        "scene_hint_answer": summary.scene_hint_answer,
    }
    return _status(view, "scene", OK, text, values)


def sequence_status(view: NodeView, sequence: SequenceView) -> DiagnosticStatus:
    """Return what befell the sequence last and what ties it to a map; a warning while nothing does."""
    tied = f"anchored by {sequence.anchor}" if sequence.anchor else "poses are relative to the first frame"
    level = OK if sequence.anchor or view.lifecycle != "active" else WARN
    values = {
        "sequence_note": sequence.note,
        "sequence_anchor": sequence.anchor,
        "sequence_travelled_m": f"{sequence.travelled_m:.2f}",
        "sequence_position_std_m": f"{sequence.position_std_m:.3f}",
        "sequence_rotation_std_rad": f"{sequence.rotation_std_rad:.4f}",
    }
    return _status(view, "sequence", level, f"{tied}; {sequence.note}", values)


def latency_status(view: NodeView, summary: Summary, max_latency_s: float) -> DiagnosticStatus:
    """Return the time from an image's arrival to its pose or rejection; a warning when the mean exceeds the limit."""
    latencies_s, overheads_s = summary.latencies_s, summary.overheads_s
    if len(latencies_s) == 0:
        return _status(view, "latency", OK, "no frame localized yet", {"latency_limit_ms": f"{max_latency_s * 1e3:g}"})
    mean_s = float(np.mean(latencies_s))
    text = f"mean {mean_s * 1e3:.1f} ms (limit {max_latency_s * 1e3:g} ms)"
    values = {
        "latency_last_ms": f"{latencies_s[-1] * 1e3:.2f}",
        "latency_mean_ms": f"{mean_s * 1e3:.2f}",
        "latency_p50_ms": _percentile_ms(latencies_s, 50),
        "latency_p99_ms": _percentile_ms(latencies_s, 99),
        "latency_limit_ms": f"{max_latency_s * 1e3:g}",
        "overhead_p50_ms": _percentile_ms(overheads_s, 50),
        "overhead_p99_ms": _percentile_ms(overheads_s, 99),
    }
    values.update(
        {f"{stage}_p50_ms": _percentile_ms(durations_s, 50) for stage, durations_s in summary.stages_s.items()}
    )
    return _status(view, "latency", WARN if mean_s > max_latency_s else OK, text, values)


def _percentile_ms(durations_s: Array, percent: int) -> str:
    return f"{float(np.percentile(durations_s, percent)) * 1e3:.2f}"


def _status(view: NodeView, topic: str, level: bytes, text: str, values: dict[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    name = f"{view.name}: {topic}"
    return DiagnosticStatus(level=level, name=name, message=text, hardware_id=view.device, values=pairs)
