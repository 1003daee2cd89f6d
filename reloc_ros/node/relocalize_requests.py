"""The service `~/relocalize`: answered with a verified pose or after a time-out, never before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.task import Future
from std_srvs.srv import Trigger

from reloc_ros.geometry import se3
from reloc_ros.node.settings import Settings
from reloc_ros.types import Array


@dataclass(eq=False)
class _Request:
    """A caller who waits. `attempts` counts the images that were tried for it."""

    answer: Future
    deadline_s: float
    attempts: int = 0


class RelocalizeRequests:
    """Keeps callers waiting without holding the executor: their coroutines await a future.

    The service lives as long as the node: a coroutine may have to answer after the transition that ended its wait.
    Time-outs are the computer's: also a caller in a paused simulation gets an answer.

    Args:
        node: owner of the service.
        settings: returns the current parameters.
    """

    def __init__(self, node: LifecycleNode, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._on_request: Callable[[], None] | None = None
        self._lock = Lock()
        self._requests: list[_Request] = []
        # A group of its own, and re-entrant: the default one runs nothing else while a coroutine waits.
        group = ReentrantCallbackGroup()
        node.create_service(Trigger, "~/relocalize", self._serve, callback_group=group)

    def open(self, on_request: Callable[[], None]) -> None:
        """Let callers wait from now on, and tell of each."""
        self._on_request = on_request

    def tried(self) -> None:
        """Count an image for everybody who waits."""
        with self._lock:
            for request in self._requests:
                request.attempts += 1

    def answer(self, T_map_target: Array, covariance: Array, *, map_frame: str, stamp_ns: int, method: str) -> None:
        """Give everybody who waits a verified pose."""
        quat_xyzw, position_m = se3.to_quat_xyzw_translation(T_map_target)
        words = {
            "map_frame": map_frame,
            "stamp_s": stamp_ns * 1e-9,
            "position_m": np.round(position_m, 6).tolist(),
            "quat_xyzw": np.round(quat_xyzw, 9).tolist(),
            "covariance": covariance.ravel().tolist(),
            "method": method,
        }
        for request in self._take():
            _resolve(request, success=True, message=json.dumps({**words, "attempts": request.attempts}))

    def close(self, why: str) -> None:
        """Give everybody who waits up, and let nobody wait any more."""
        self._on_request = None
        for request in self._take():
            _resolve(request, success=False, message=f"{why} ({request.attempts} images tried)")

    def step(self, state: str) -> None:
        """Give those up whose time is over; `state` says how things stand."""
        now_s = monotonic()
        for request in self._take(lambda each: each.deadline_s <= now_s):
            waited = f"no verified pose within {self._settings().relocalize_timeout_s:g} s"
            _resolve(request, success=False, message=f"{waited} ({request.attempts} images tried): {state}")

    async def _serve(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        on_request = self._on_request
        if on_request is None:
            response.message = "the node is not active"
            return response
        request = _Request(Future(), monotonic() + self._settings().relocalize_timeout_s)
        with self._lock:
            self._requests.append(request)
        on_request()
        response.success, response.message = await request.answer
        return response

    def _take(self, choose: Callable[[_Request], bool] = lambda _: True) -> list[_Request]:
        with self._lock:
            chosen = [request for request in self._requests if choose(request)]
            self._requests = [request for request in self._requests if request not in chosen]
        return chosen


def _resolve(request: _Request, *, success: bool, message: str) -> None:
    request.answer.set_result((success, message))
