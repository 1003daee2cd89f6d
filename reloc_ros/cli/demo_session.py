"""The live part of the demo: node, player and recorder in three processes, joined by DDS only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from reloc_ros.errors import ProcessError
from reloc_ros.evaluation.pose_error import rotation_error_deg, translation_error_m
from reloc_ros.localization.sequence_anchor import ORIGIN_FRAME
from reloc_ros.types import Array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reloc_ros.node.lifecycle_client import NodeProcess
    from reloc_ros.node.recorder import Recorder, Recording

REMAPS = {"image": "/camera/image", "camera_info": "/camera/camera_info"}
WATCHED = ("/camera/image", "/tf", "/tf_static")
START_LIMIT_S = 40.0
LAST_ANSWER_LIMIT_S = 5.0
REFRESH_S = 0.2
FIRST_DOMAIN, DOMAINS = 20, 80
"""Domain ids up to 101 keep DDS ports below the ephemeral range of Linux; low ones are what people use."""


class Filmed(Protocol):
    """A drive with the truth of each image."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """(N,) one for each image."""

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """(N,)."""

    @property
    def T_map_camera(self) -> Array:
        """(N, 4, 4)."""


def run_session(
    bag: Path,
    bundle: Path,
    demo: Filmed,
    log: Path,
    rate: float,
    console: Console,
    *,
    parameters: Mapping[str, Any] | None = None,
    remaps: Mapping[str, str] = REMAPS,
    watched: Sequence[str] = WATCHED,
) -> Recording:
    """Start the node on the bundle, play the bag into it and return what it published.

    Args:
        bag: to play.
        bundle: folder.
        demo: what the bag shows.
        log: of the node; that of the player lies beside it.
        rate: speed of playing, times real time.
        console: to show it on.
        parameters: of the node, beside those of every demo.
        remaps: {topic of the node: topic of the bag}.
        watched: topics that the node must be there for before the bag begins.

    Raises:
        ProcessError: the node or the player failed; the message shows the log.
    """
    # Own domain, this machine only: a robot or another demo on the network neither disturbs nor is disturbed.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    domain_id = FIRST_DOMAIN + os.getpid() % DOMAINS
    from reloc_ros.node.lifecycle_client import LifecycleClient, NodeProcess
    from reloc_ros.node.recorder import Recorder
    from reloc_ros.node.session import spinning_node

    # Nothing from an earlier demo: the robot begins lost.
    unaided = {"initialize_at_saved_pose": False, "save_pose_rate": 0.0}
    given = {"bundle": str(bundle.resolve()), "diagnostics_rate_hz": 5.0, **unaided, **(parameters or {})}
    try:
        with (
            spinning_node("reloc_demo", domain_id=domain_id) as node,
            NodeProcess(given, remaps=remaps, log=log, domain_id=domain_id) as process,
        ):
            recorder = Recorder(node)
            with console.status("starting the node"):
                LifecycleClient(node, process=process).bring_up(START_LIMIT_S)
                recorder.wait(
                    lambda: recorder.publisher_count > 0 and recorder.latest_diagnostics.get("model") == "ready",
                    timeout_s=START_LIMIT_S,
                )
            play_log = log.with_name(log.name.replace("node", "play"))
            with _player(bag, rate, play_log, domain_id, watched) as player:
                _watch(player, process, recorder, demo, console)
            told = len(recorder.recording().diagnostics)
            recorder.wait(lambda: _settled(recorder.recording(), told), timeout_s=LAST_ANSWER_LIMIT_S)
            return recorder.recording()
    except (RuntimeError, TimeoutError) as error:
        raise ProcessError(f"the demo stopped: {error}\n{_tail(log)}") from error


@contextmanager
def _player(
    bag: Path, rate: float, log: Path, domain_id: int, watched: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Play the bag in a process of its own, ended with the block."""
    command = [sys.executable, "-m", "reloc_ros", "play", str(bag), "--rate", str(rate)]
    command += ["--wait-for-subscribers", *watched]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
    if code != 0:
        raise ProcessError(f"playing {bag} ended with exit code {code}:\n{_tail(log)}")


def _watch(
    player: subprocess.Popen[bytes], process: NodeProcess, recorder: Recorder, demo: Filmed, console: Console
) -> None:
    """Show what the node says until the bag is over."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("driving", total=len(demo.steps), now="")
        before = 0
        while True:
            try:
                player.wait(REFRESH_S)
                return
            except subprocess.TimeoutExpired:
                process.check()
            poses = recorder.pose_count
            progress.update(
                task,
                completed=int(recorder.latest_diagnostics.get("frames_in", 0)),
                now=_now(recorder, demo, answered=poses > before),
            )
            before = poses


def _now(recorder: Recorder, demo: Filmed, *, answered: bool) -> str:
    """Return one line on the present state."""
    values = recorder.latest_diagnostics
    counts = f"{recorder.pose_count} poses, {values.get('frames_withheld', '0')} withheld"
    if not answered:
        return f"[yellow]{values.get('trust_state', '')}[/] ({values.get('trust_detail', '')[:40]}) | {counts}"
    recording = recorder.recording()
    if recording.map_frames[-1] == ORIGIN_FRAME:
        return f"[yellow]no map yet[/], poses are relative to the first image | {counts}"
    index = int(np.searchsorted(demo.stamps_ns, recording.stamps_ns[-1]))
    estimated, true = recording.T_map_camera[-1], demo.T_map_camera[min(index, len(demo.steps) - 1)]
    metres, degrees = translation_error_m(estimated, true), rotation_error_deg(estimated, true)
    return f"[green]tracking[/], off by {100 * metres:5.1f} cm {degrees:4.1f} deg | {counts}"


def _settled(recording: Recording, told: int) -> bool:
    """Tell whether the node, since it had sent `told` diagnostics, has dealt with every frame it received."""
    # Of two newer messages the second was surely made after the last image had arrived.
    if len(recording.diagnostics) < told + 2:
        return False
    values = recording.diagnostics[-1]
    done = sum(
        int(values.get(f"frames_{what}", 0)) for what in ("accepted", "withheld", "rejected", "dropped", "repeated")
    )
    return done >= int(values.get("frames_in", 0))


def _tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if log.is_file() else ""
