"""A transform buffer that can wait."""

from __future__ import annotations

import threading
import time as wall_time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.duration import Duration
from rclpy.task import Future
from tf2_py import BufferCore

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped
    from rclpy.node import Node

_NO_WAIT = Duration()


class Buffer(BufferCore):
    """The transform buffer that nodes use: `BufferCore` with time-outs and futures.

    A wait is over as soon as the transform arrives; it is measured in wall time, and blocks the calling thread, so the
    listener must be spun by another one.

    Args:
        cache_time: how long transforms are kept (10 s by default).
        node: accepted as in the original, where it offers the service `tf2_frames`; not offered here.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__(cache_time)
        self._node = node
        self._callbacks: list[Callable[[], None]] = []
        self._callbacks_lock = threading.RLock()

    def set_transform(self, transform: TransformStamped, authority: str = "default_authority") -> None:
        """Add a transform of a moving frame."""
        super().set_transform(transform, authority)
        self._call_back()

    def set_transform_static(self, transform: TransformStamped, authority: str = "default_authority") -> None:
        """Add a transform that holds at every time."""
        super().set_transform_static(transform, authority)
        self._call_back()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Any, timeout: Duration = _NO_WAIT
    ) -> TransformStamped:
        """Return T_target_source at a time (0: the latest common one), after waiting up to `timeout` for it.

        Raises:
            TransformException: it cannot be given; the class says why.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
    ) -> TransformStamped:
        """Return T_target(target_time)_source(source_time) through a frame that does not move in between.

        Raises:
            TransformException: it cannot be given; the class says why.
        """
        self.can_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        return self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Any,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the transform can be looked up, after waiting up to `timeout` for it."""
        result = self._wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the transform through the fixed frame can be looked up, after waiting up to `timeout`."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        result = self._wait(lambda: self.can_transform_full_core(*arguments), timeout)
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Any) -> Future:
        """Return a future that holds the transform as soon as it can be looked up."""
        arguments = (target_frame, source_frame, time)
        return self._future(
            lambda: self.can_transform_core(*arguments)[0], lambda: self.lookup_transform_core(*arguments)
        )

    def wait_for_transform_full_async(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> Future:
        """Return a future that holds the transform through the fixed frame as soon as it can be looked up."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._future(
            lambda: self.can_transform_full_core(*arguments)[0], lambda: self.lookup_transform_full_core(*arguments)
        )

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """Return the transform as soon as it can be looked up."""
        return await self.wait_for_transform_async(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> TransformStamped:
        """Return the transform through the fixed frame as soon as it can be looked up."""
        return await self.wait_for_transform_full_async(
            target_frame, target_time, source_frame, source_time, fixed_frame
        )

    def _wait(self, attempt: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
        deadline_s = wall_time.monotonic() + timeout.nanoseconds * 1e-9
        with self._changed:
            result = attempt()
            while not result[0]:
                remaining_s = deadline_s - wall_time.monotonic()
                if remaining_s <= 0.0:
                    break
                self._changed.wait(remaining_s)
                result = attempt()
        return result

    def _future(self, is_possible: Callable[[], bool], look_up: Callable[[], TransformStamped]) -> Future:
        future = Future()

        def attempt() -> None:
            if not future.done() and is_possible():
                future.set_result(look_up())

        # Registered before the first attempt: a transform that arrives in between must not be missed.
        with self._callbacks_lock:
            self._callbacks.append(attempt)
        future.add_done_callback(lambda _: self._forget(attempt))
        attempt()
        return future

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._callbacks_lock:
            self._callbacks.remove(callback)

    def _call_back(self) -> None:
        with self._callbacks_lock:
            for callback in tuple(self._callbacks):
                callback()
