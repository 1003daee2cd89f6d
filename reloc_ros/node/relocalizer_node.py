"""The lifecycle node: parameters, transitions, clock and diagnostics; see `relocalizer` for what it runs.

`configure` verifies parameters and bundle and starts the worker, which loads the model in the background. A load that
fails within `QUICK_LOAD_S` fails the transition; a longer one goes on while the node is already inactive or active:
images that arrive meanwhile wait in a slot where the newest wins, and diagnostics say `loading`, `ready` or `failed`.
A model that is known to have failed is not activated.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from reloc_ros.errors import RelocError
from reloc_ros.localization.decision import Cause
from reloc_ros.node import parameters
from reloc_ros.node.bond import ManagerBond
from reloc_ros.node.diagnostics import NodeView, diagnose
from reloc_ros.node.log_forwarding import RosLogHandler
from reloc_ros.node.model import OpenModel, open_model
from reloc_ros.node.relocalize_requests import RelocalizeRequests
from reloc_ros.node.relocalizer import Relocalizer
from reloc_ros.node.statistics import Statistics

QUICK_LOAD_S = 0.5
"""How long `configure` waits for the model, so that every transition answers within a second."""

_END_S = 1.0


class RelocalizerNode(LifecycleNode):
    """Localizes camera images in a map.

    Args:
        open_model: verifies a bundle and returns what loads it; tests give their own.
        node_arguments: passed on to the ROS node (context, cli_args, ...).
    """

    def __init__(self, *, open_model: OpenModel = open_model, **node_arguments: Any) -> None:
        super().__init__("relocalizer_node", **node_arguments)
        self.statistics = Statistics()
        self._open_model = open_model
        self._lifecycle = "unconfigured"
        self._problem = ""
        self._relocalizer: Relocalizer | None = None
        self._log_handler = RosLogHandler(self.get_logger())
        self._log_handler.attach()
        self._parameter_problems = parameters.declare(self)
        self._settings = parameters.current(self)
        self._bond = ManagerBond(self)
        self._requests = RelocalizeRequests(self, lambda: self._settings)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump_handle = self.get_clock().create_jump_callback(backwards, post_callback=self._on_clock_jump)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._diagnostics_timer: Timer | None = None
        self._restart_diagnostics()

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Verify parameters and bundle, begin to load the model and subscribe."""
        return self._attempt("configure", self._configure, "inactive")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to use images and to publish."""

        def activate() -> None:
            relocalizer = self._configured()
            if relocalizer.worker.error is not None:
                raise RelocError(f"the model could not be loaded ({relocalizer.worker.error}); clean up and configure")
            super(RelocalizerNode, self).on_activate(state)
            self._bond.form(self._settings.bond_heartbeat_period)
            relocalizer.activate()

        return self._attempt("activate", activate, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop using images and publishing; the model stays loaded."""

        def deactivate() -> None:
            self._configured().deactivate()
            self._bond.end()
            super(RelocalizerNode, self).on_deactivate(state)

        return self._attempt("deactivate", deactivate, "inactive")

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, subscriptions and publishers."""
        return self._attempt("clean up", self._close, "unconfigured")

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, whatever the state."""
        return self._attempt("shut down", self._close, "finalized")

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Free everything after a fault in a transition."""
        return self._attempt("recover from an error", self._close, "unconfigured")

    def destroy_node(self) -> None:
        """Free everything, also without the transitions."""
        self._close()
        self._jump_handle.unregister()
        self._log_handler.detach()
        super().destroy_node()
        # rclpy leaves this to the garbage collector, and with it the node's DDS participant. Participants of one process
        # that come and go beside each other can lock each other up for ever in Fast DDS.
        self._state_machine.destroy_when_not_in_use()

    def _attempt(self, what: str, transition: Callable[[], None], next_state: str) -> TransitionCallbackReturn:
        """Run a transition; log a failure here, because rclpy swallows exceptions of transition callbacks."""
        try:
            transition()
        except Exception as error:
            self._problem = f"cannot {what}: {error}"
            self.get_logger().error(self._problem)
            if not isinstance(error, RelocError):
                self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.FAILURE
        self._problem = ""
        self._lifecycle = next_state
        self.get_logger().info(f"{what}: done, the node is {next_state}")
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._settings = parameters.current(self)
        parameters.require(self, self._settings, self._parameter_problems)
        load = self._open_model(self._settings)
        self._restart_diagnostics()
        self.statistics = Statistics()
        self._relocalizer = Relocalizer(
            self, lambda: self._settings, load=load, statistics=self.statistics, requests=self._requests
        )
        worker = self._relocalizer.worker
        if worker.wait_prepared(QUICK_LOAD_S) and worker.error is not None:
            self._close()
            raise worker.error

    def _close(self) -> None:
        self._bond.end()
        if self._relocalizer is not None:
            self._relocalizer.close()
            self._relocalizer = None

    def _configured(self) -> Relocalizer:
        if self._relocalizer is None:
            raise RelocError("the node is not configured")
        return self._relocalizer

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        reason = parameters.refusal(changed, configured=self._relocalizer is not None)
        if reason is not None:
            return SetParametersResult(successful=False, reason=reason)
        for parameter in changed:
            self._parameter_problems.pop(parameter.name, None)
        self._settings = parameters.updated(self._settings, changed)
        return SetParametersResult(successful=True)

    def _on_clock_jump(self, _: TimeJump) -> None:
        if self._relocalizer is not None:
            self._relocalizer.reset(Cause.CLOCK_BACKWARD, "the clock jumped back")

    def _restart_diagnostics(self) -> None:
        if self._diagnostics_timer is not None:
            self.destroy_timer(self._diagnostics_timer)
        # Steady: also a paused simulation must hear why nothing happens.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = 1.0 / self._settings.diagnostics_rate_hz
        self._diagnostics_timer = self.create_timer(period_s, self._publish_diagnostics, clock=clock)

    def _publish_diagnostics(self) -> None:
        stamp_ns = int(self.get_clock().now().nanoseconds)
        self._diagnostics.publish(diagnose(self._view(), self.statistics.summary(), self._settings, stamp_ns))

    def _view(self) -> NodeView:
        view = NodeView(
            name=self.get_fully_qualified_name().lstrip("/"),
            lifecycle=self._lifecycle,
            model="none",
            problem=self._problem,
            bundle=self._settings.bundle,
            tf_mode=self._settings.tf_mode,
        )
        if self._relocalizer is None:
            return view
        navigation = self._relocalizer.navigation
        view = replace(view, trust=navigation.view(), sequence=navigation.sequence_view())
        worker, model = self._relocalizer.worker, self._relocalizer.model
        if worker.error is not None:
            view = replace(view, problem=f"cannot load the model: {worker.error}")
        if model is None:
            return replace(view, model=worker.state)
        return replace(
            view,
            model=worker.state,
            method=model.method,
            backend=model.backend.name,
            precision=model.backend.precision,
            device=model.backend.device,
            verdict=model.backend.verdict,
            engine=model.engine(),
        )


def main(args: Sequence[str] | None = None, open_model: OpenModel = open_model) -> int:
    """Run the node until it is interrupted."""
    rclpy.init(args=args)
    node = RelocalizerNode(open_model=open_model)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0  # the way every ROS node ends
    except RCLError:
        # An interrupt can end the context between two steps of the executor, which then finds it invalid.
        if rclpy.ok():
            raise
        return 0
    finally:
        # Launch and the terminal both interrupt; the second time must not cut the clean-up short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # First: after a signal, a thread of rclpy is still shutting down what would be destroyed below.
        rclpy.try_shutdown()
        # Callers of services who still wait for a pose must not hold the end up.
        executor.shutdown(timeout_sec=_END_S)
        node.destroy_node()
    return 0


if __name__ == "__main__":
    sys.exit(main())
