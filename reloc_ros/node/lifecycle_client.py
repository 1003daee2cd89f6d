"""Starts a relocalizer in its own process and drives its lifecycle from Python, with time-outs.

Example:
    with spinning_node("driver") as node, NodeProcess({"bundle": "models/apartment"}) as process:
        LifecycleClient(node, process=process).bring_up()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Any

import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

TRANSITIONS = {
    "configure": (Transition.TRANSITION_CONFIGURE, "inactive"),
    "activate": (Transition.TRANSITION_ACTIVATE, "active"),
    "deactivate": (Transition.TRANSITION_DEACTIVATE, "inactive"),
    "cleanup": (Transition.TRANSITION_CLEANUP, "unconfigured"),
}
"""Name: id and the state it leads to."""

START_S, PATIENCE_S = 240.0, 120.0
"""How long a node may take to start and be found, and then to do what it is asked for, on a machine that others keep busy.

Somebody who looks after the process is told at once when it ends, so long limits cost nothing.
"""

# DDS may lose the answer to a request that is sent while both sides still discover each other.
_ANSWER_S = 3.0


class NodeProcess:
    """A `relocalizer_node` process; ends with the `with` block.

    Args:
        parameters: node parameters.
        remaps: {topic of the node: topic to use}, for example {"image": "/camera/image"}.
        namespace: namespace of the node.
        log: file that receives the node's output; None keeps it in a temporary file.
        domain_id: DDS domain; None takes `ROS_DOMAIN_ID`.
        module: what `python -m` runs; the bench starts its own.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        *,
        remaps: Mapping[str, str] | None = None,
        namespace: str = "/",
        log: Path | None = None,
        domain_id: int | None = None,
        module: str = "reloc_ros.node.relocalizer_node",
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="reloc_node_")
        self.log = Path(self._folder.name, "node.log") if log is None else log
        parameter_file = Path(self._folder.name, "parameters.yaml")
        parameter_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}), encoding="utf-8")
        self._command = [sys.executable, "-m", module, "--ros-args", "--params-file", str(parameter_file)]
        self._command += ["-r", f"__ns:={namespace}"]
        for old, new in (remaps or {}).items():
            self._command += ["-r", f"{old}:={new}"]
        self._environment = dict(os.environ)
        if domain_id is not None:
            self._environment["ROS_DOMAIN_ID"] = str(domain_id)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        """Start the process."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Interrupt the process as Ctrl-C would, and kill it when that does not help."""
        self.stop()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Process id; only inside the `with` block."""
        if self._process is None:
            raise RuntimeError("the node process has no pid before it is started; enter its `with` block first")
        return self._process.pid

    def check(self) -> None:
        """Raise RuntimeError with the end of the log when the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(
                f"the node process ended with exit code {self._process.returncode}; its log ends with:\n{self.log_tail()}"
            )

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines the node wrote."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self, timeout_s: float = 10.0) -> int:
        """Stop the process and return its exit code (0 after a clean interrupt)."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class LifecycleClient:
    """Asks a lifecycle node for transitions.

    Args:
        node: a node that someone else spins, see `spinning_node`.
        target: full name of the lifecycle node.
        process: of the lifecycle node, where it is known: its end ends all waiting, and its log explains a silence.
    """

    def __init__(self, node: Node, target: str = "/relocalizer_node", *, process: NodeProcess | None = None) -> None:
        self._target = target
        self._process = process
        self._change = node.create_client(ChangeState, f"{target}/change_state")
        self._get = node.create_client(GetState, f"{target}/get_state")

    def state(self, timeout_s: float = 10.0) -> str:
        """Return `unconfigured`, `inactive`, `active` or `finalized`."""
        return str(self._ask(self._get, GetState.Request(), monotonic() + timeout_s).current_state.label)

    def change(self, transition: str, timeout_s: float = 10.0) -> bool:
        """Ask for `configure`, `activate`, `deactivate` or `cleanup`; return whether the node agreed.

        Raises:
            TimeoutError: the node's service did not appear or did not answer in time.
        """
        number, goal = TRANSITIONS[transition]
        request = ChangeState.Request(transition=Transition(id=number))
        deadline = monotonic() + timeout_s

        def done_unanswered() -> ChangeState.Response | None:
            try:
                reached = self.state(_ANSWER_S) == goal
            except TimeoutError:
                return None  # busy with the transition, or not discovered yet: `deadline` decides
            return ChangeState.Response(success=True) if reached else None

        return bool(self._ask(self._change, request, deadline, instead_of_answer=done_unanswered).success)

    def bring_up(self, timeout_s: float = START_S) -> None:
        """Configure and activate.

        Raises:
            RuntimeError: the node refused; its log says why.
        """
        for transition in ("configure", "activate"):
            if not self.change(transition, timeout_s):
                raise RuntimeError(f"{self._target} refused to {transition}; its log says why")

    def _ask(
        self, client: Any, request: Any, deadline: float, instead_of_answer: Callable[[], Any] = lambda: None
    ) -> Any:
        """Return the answer; ask again when none comes, unless `instead_of_answer` knows it by now."""
        while not client.wait_for_service(timeout_sec=0.2):
            self._check(deadline, f"service {client.srv_name} does not appear; is {self._target} running?")
        while (answer := self._ask_once(client, request)) is None and (answer := instead_of_answer()) is None:
            self._check(deadline, f"{client.srv_name} does not answer")
        return answer

    def _ask_once(self, client: Any, request: Any) -> Any:
        answered = Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if answered.wait(_ANSWER_S):
            return future.result()
        client.remove_pending_request(future)
        return None

    def _check(self, deadline: float, problem: str) -> None:
        if self._process is not None:
            self._process.check()
        if monotonic() > deadline:
            log = "" if self._process is None else f"; its log ends with:\n{self._process.log_tail()}"
            raise TimeoutError(problem + log)
