"""What happens to the robot becomes a decision, and the decision becomes poses, a transform, answers and words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.lifecycle import LifecycleNode

from reloc_ros.geometry import covariance
from reloc_ros.localization.decision import Cause, State
from reloc_ros.localization.fusion import Belief
from reloc_ros.localization.solve.solution import Failure
from reloc_ros.node import saved_pose
from reloc_ros.node.broadcast import Broadcast
from reloc_ros.node.diagnostics import TrustView
from reloc_ros.node.initializer import Initializer
from reloc_ros.node.message_time import MessageTime
from reloc_ros.node.model import Model
from reloc_ros.node.monitors import Monitors
from reloc_ros.node.outputs import Outputs
from reloc_ros.node.priors import Priors
from reloc_ros.node.relocalize_requests import RelocalizeRequests
from reloc_ros.node.saved_pose import SavedPose
from reloc_ros.node.sequence_trust import SequenceTrust, sequence_trust
from reloc_ros.node.sequence_view import SequenceView
from reloc_ros.node.settings import Settings
from reloc_ros.node.transforms import Placed, Transforms
from reloc_ros.node.trust import NOTHING_YET, Judgement, Trust
from reloc_ros.types import Array

_log = logging.getLogger(__name__)


class Navigation:
    """The side of the relocalizer that navigation sees.

    Not thread-safe: the worker and the callbacks call it under one lock, the relocalizer's.

    Args:
        node: owner of publishers and subscriptions.
        settings: returns the current parameters.
        trust: decides what to believe.
        transforms: knows odometry.
        requests: who waits for a pose.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: Callable[[], Settings],
        *,
        trust: Trust,
        transforms: Transforms,
        requests: RelocalizeRequests,
    ) -> None:
        self._name = node.get_fully_qualified_name()
        self._settings = settings
        self._trust = trust
        self._requests = requests
        self._judgement = NOTHING_YET
        self._method, self._bundle = "", ""
        self._unsaved: SavedPose | None = None
        self._saved_s = float("-inf")
        self._ticked_ns: int | None = None
        self._time = MessageTime(lambda: int(node.get_clock().now().nanoseconds))
        self._outputs = Outputs(node)
        self.broadcast = Broadcast(node, settings, self._time)
        self._priors = Priors(node, settings, transforms=transforms, time=self._time, take=self._take_prior)
        self._monitors = Monitors(node, settings, lambda: (transforms.newest_odometry() or (None,))[0])
        self._initializer: Initializer | None = None
        if settings().role == "initializer":
            self._initializer = Initializer(node, settings, lambda stamp_ns: transforms.odometry(stamp_ns, wait=False))

    @property
    def state_line(self) -> str:
        """What is believed and why, in a line for pictures."""
        decision = self._judgement.decision
        return f"{decision.state.value} ({decision.cause.value}): {decision.detail}"

    def serve(self, model: Model) -> None:
        """Say which model finds the poses, and what its maps are called."""
        self._method, self._bundle = model.method, model.fingerprint
        if model.sequence is not None:
            self._trust = sequence_trust(self._settings(), model.sequence)
        self._trust.serve(model.map_frames)
        self._priors.serve(model.map_frames, model.fingerprint)

    def activate(self) -> None:
        """Begin: navigation may want a pose, and nobody has heard the status."""
        self._outputs.forget_status()
        if self._initializer is not None:
            self._initializer.want("start-up")

    def on_placed(self, placed: Placed, received_ns: int) -> Judgement:
        """Step with the pose of one image, and publish what is believed at its stamp."""
        return self._on_image(placed, received_ns, lambda: self._trust.on_fix(placed.map_frame, placed.fix))

    def on_sequence(self, placed: Placed, fix: Placed | Failure, received_ns: int) -> Judgement:
        """Step with the place of one image in its sequence and with its absolute fix, and publish as `on_placed`.

        Raises:
            TypeError: the model that is served knows no sequences.
        """
        trust = self._trust
        if not isinstance(trust, SequenceTrust):
            raise TypeError("a sequence is judged by the trust in one, which comes with its model")
        return self._on_image(placed, received_ns, lambda: trust.on_sequence(placed, fix))

    def _on_image(self, placed: Placed, received_ns: int, judge: Callable[[], Judgement]) -> Judgement:
        self._time.note(placed.fix.stamp_ns, received_ns)
        self._requests.tried()
        judgement = judge()
        belief = judgement.decision.publish
        if belief is not None:
            self._publish(belief, judgement, placed)
        self._follow(judgement)
        if belief is not None:
            self.broadcast.rebroadcast()
        return judgement

    def on_rejected(self, stamp_ns: int, received_ns: int, T_odom_body: Array | None, detail: str) -> None:
        """Step with an image that gave no pose; without odometry at its stamp only time passes."""
        self._time.note(stamp_ns, received_ns)
        self._requests.tried()
        if T_odom_body is not None:
            self._follow(self._trust.on_rejected(stamp_ns, T_odom_body, detail))

    def on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        """Take a pose that somebody vouches for."""
        self._priors.offer(message)

    def lose(self, why: str) -> None:
        """Begin to search anew: somebody says that the robot is lost."""
        self._follow(self._trust.on_loss(why))
        if self._initializer is not None:
            self._initializer.want(why)

    def want_pose(self) -> None:
        """Somebody asked for a verified pose: navigation gets it too."""
        if self._initializer is not None:
            self._initializer.want("asked for")

    def tick(self) -> None:
        """Let time pass, some times a second: no image may be coming."""
        now_ns = self._time.now_ns()
        # A bag that was paused falls behind the clock; time goes on when its images have caught up.
        if now_ns is not None and (self._ticked_ns is None or now_ns >= self._ticked_ns):
            self._ticked_ns = now_ns
            self._follow(self._trust.on_time(now_ns))
            if self._initializer is not None:
                self._initializer.step(now_ns)
            loss = self._monitors.step(now_ns)
            # Navigation that is being helped already says that it is lost: that is no news.
            if loss is not None and not (self._initializer is not None and self._initializer.is_at_work):
                self.lose(loss)
        self._priors.step()
        self._requests.step(self.in_words)
        self._outputs.say(self._judgement)
        self._save()

    def reset(self, cause: Cause, detail: str) -> None:
        """Forget everything that is tied to time."""
        self._time.reset()
        self._ticked_ns = None
        self.broadcast.reset()
        self._priors.reset()
        self._monitors.reset()
        if self._initializer is not None:
            self._initializer.reset()
        self._follow(self._trust.reset(cause, detail))

    def close(self) -> None:
        """Save the last pose and remove publishers and subscriptions."""
        self._save(now=True)
        self._monitors.close()
        self.broadcast.close()
        if self._initializer is not None:
            self._initializer.close()
        self._outputs.close()

    @property
    def in_words(self) -> str:
        """The state and why."""
        decision = self._judgement.decision
        return f"{decision.state.value}: {decision.cause.value}: {decision.detail}"

    def view(self) -> TrustView:
        """Return how things stand, for diagnostics."""
        decision, initializer = self._judgement.decision, self._initializer
        return TrustView(
            rule=self._settings().trust,
            role=self._settings().role,
            state=decision.state,
            cause=decision.cause.value,
            detail=decision.detail,
            map_frame=self._judgement.map_frame,
            monitors=self._monitors.detail,
            initialpose=self._priors.answer,
            handover="" if initializer is None else initializer.state,
            handover_failed=initializer is not None and initializer.has_given_up,
        )

    def sequence_view(self) -> SequenceView | None:
        """Return how the sequence stands, for diagnostics; None where there is none."""
        return self._trust.view if isinstance(self._trust, SequenceTrust) else None

    def _take_prior(self, map_frame: str, prior: Belief, *, anchor: bool) -> None:
        if anchor or self._judgement.decision.trusted is None:
            self._follow(self._trust.on_prior(map_frame, prior, anchor=anchor))

    def _publish(self, belief: Belief, judgement: Judgement, placed: Placed) -> None:
        settings, map_frame = self._settings(), judgement.map_frame
        T_map_target, target_covariance = belief.T_map_body, belief.covariance
        T_map_camera = belief.T_map_body @ placed.T_body_camera
        if settings.body == "base" and settings.pose_of == "camera":
            target_covariance = covariance.change_body_frame(belief.covariance, belief.T_map_body, placed.T_body_camera)
            T_map_target = T_map_camera
        self._outputs.publish(T_map_target, target_covariance, map_frame=map_frame, stamp_ns=belief.stamp_ns)
        # Relative to the first frame of a sequence: no place in the tree of transforms, which has one root.
        if judgement.decision.cause is Cause.NO_ANCHOR:
            return
        self.broadcast.show_camera(T_map_camera, map_frame, placed.camera_frame, belief.stamp_ns)
        # Carried by a sequence: true as far as that goes, but nothing was found here that vouches for it.
        if judgement.decision.cause is Cause.CARRIED:
            return
        self._requests.answer(
            T_map_target, target_covariance, map_frame=map_frame, stamp_ns=belief.stamp_ns, method=self._method
        )
        if self._initializer is not None:
            self._initializer.on_verified(belief, map_frame)
        if settings.trust == "verified":
            self._unsaved = SavedPose(
                map_frame=map_frame,
                bundle=self._bundle,
                stamp_ns=belief.stamp_ns,
                T_map_body=belief.T_map_body.tolist(),
                covariance=belief.covariance.tolist(),
            )

    def _follow(self, judgement: Judgement) -> None:
        """Show what is believed, and say so when it is something new."""
        decision, before = judgement.decision, self._judgement.decision
        if decision.trusted is None:
            self.broadcast.stop()
        else:
            self.broadcast.follow(decision.trusted, judgement.map_frame, at_once=decision.recovered)
        # What to do was done; what stays is how things stand.
        self._judgement = replace(judgement, decision=replace(decision, publish=None, recovered=False))
        if decision.state is not before.state:
            level = logging.INFO if decision.state in (State.INIT, State.TRACKING) else logging.WARNING
            _log.log(level, "%s", self.in_words)
        if (decision.state, decision.cause) != (before.state, before.cause):
            self._outputs.say(self._judgement)

    def _save(self, *, now: bool = False) -> None:
        rate_hz, pose = self._settings().save_pose_rate, self._unsaved
        if pose is None or rate_hz == 0.0 or not (now or monotonic() - self._saved_s >= 1.0 / rate_hz):
            return
        self._unsaved, self._saved_s = None, monotonic()
        path = saved_pose.path_of(self._name, pose.map_frame)
        try:
            saved_pose.write(path, pose)
        except OSError as error:
            _log.warning("the pose is not saved: %s", error)
