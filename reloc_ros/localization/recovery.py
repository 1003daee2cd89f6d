"""When is a pose trusted? The state machine between single fixes and what a robot may act on.

    INIT       nothing was trusted since the start or a reset; too few fixes agree.
    LOST       something was trusted, and is no more.
    CANDIDATE  two views agree on a place; still silent.
    TRACKING   trusted: `map -> odom` holds, each agreeing fix is published.
    DEGRADED   trusted by dead reckoning alone: `map -> odom` goes on, poses stop.

INIT, LOST and CANDIDATE are silent. Fixes gather in `Hypotheses`; `_search` decides when one place has earned trust,
`_check` holds each further fix against the trusted place, `_without_agreement` counts down while none agrees. What
is published is the *fused* pose: in simulated drives it is off by 6 cm and 1.1 deg where the single fixes behind it are
off by 16 cm and 2.9 deg (medians).

Pure and single-threaded: it knows no clock but the stamps it is given. Feed every image that was tried, in order.
"""

from __future__ import annotations

from reloc_ros.geometry import se3
from reloc_ros.localization import planar
from reloc_ros.localization.decision import Cause, Decision, State
from reloc_ros.localization.fusion import NS_PER_S, Belief, OdometryNoise, motion
from reloc_ros.localization.hypotheses import Hypotheses, Hypothesis, ViewMeter
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.types import Array

_CANDIDATE_VOTES = 2.0
_CERTAINTY_WHEN_STANDING = 0.5
_ODOMETRY_SLACK = 0.1
"""Metres and radians by which odometry may step without being fast: coarse stamps of two images close in time."""

_VOTES_AT_LEAST = 1.0
"""Rivals of no more than one view are the ordinary wrong fix."""


class Recovery:
    """Decides which fixes to believe.

    Args:
        settings: limits.
        noise: how odometry drifts; `OdometryNoise.hand_held()` without odometry.
    """

    def __init__(self, settings: RecoverySettings, noise: OdometryNoise) -> None:
        self._settings = settings
        self._places = Hypotheses(settings, noise)
        self._floor_limit = settings.chi2_limit(3)
        self.reset()

    @property
    def state(self) -> State:
        """After the last step."""
        return self._state

    def reset(self, cause: Cause = Cause.RESET, detail: str = "started anew") -> Decision:
        """Forget everything, as after a jump of the clock or on request."""
        self._places.clear()
        self._idle_state = State.INIT
        self._state = State.INIT
        self._proof = 0.0
        self._votes_needed = self._settings.votes_unknown(self._proof)
        self._restart_views()
        self._T_odom_body: Array | None = None
        self._image_ns: int | None = None
        self._now_ns: int | None = None
        self._agreed_ns = 0
        self._travel_m = 0.0
        self._agreeing_fixes = 0
        return self._decide(State.INIT, cause, detail)

    def on_fix(self, fix: Belief) -> Decision:
        """Step with the pose of one image."""
        if self._settings.planar:
            off_floor = planar.squared_distance_from_floor(fix)
            fix = planar.flatten_belief(fix)
            if off_floor > self._floor_limit:
                detail = (
                    f"height and tilt are {off_floor:.1f} off the floor (chi-square), limit {self._floor_limit:.1f}"
                )
                return self._on_image_without_fix(fix.stamp_ns, fix.T_odom_body, Cause.OFF_FLOOR, detail)
        interruption = self._advance(fix.stamp_ns, fix.T_odom_body)
        if interruption is not None:
            return interruption
        novelty = self._views.take()
        joined = self._places.add(fix, novelty=novelty, votes_needed=self._votes_needed)
        trusted = self._places.trusted
        self._weigh_proof(joined, novelty)
        return self._search(fix.stamp_ns) if trusted is None else self._check(joined, trusted, fix.stamp_ns)

    def on_rejected(self, stamp_ns: int, T_odom_body: Array, detail: str) -> Decision:
        """Step with an image that gave no pose; `detail` says why. Without odometry at its stamp use `on_time`."""
        if self._settings.planar:
            T_odom_body = planar.flatten(T_odom_body)
        return self._on_image_without_fix(stamp_ns, T_odom_body, Cause.NO_FIX, detail)

    def on_time(self, stamp_ns: int) -> Decision:
        """Step with the mere passing of time, some times a second: no image may be coming."""
        if self._now_ns is not None and self._is_backward(stamp_ns, self._now_ns):
            return self._clock_backward(stamp_ns, self._now_ns)
        self._now_ns = stamp_ns
        silent_s = (stamp_ns - max(self._agreed_ns, self._image_ns or 0)) / NS_PER_S
        if self._places.trusted is not None and silent_s > self._settings.degraded_after_s:
            return self._without_agreement(stamp_ns, Cause.NO_FIX, f"no image for {silent_s:.1f} s")
        return self._decide(self._state, self._cause, self._detail)

    def on_loss(self, detail: str) -> Decision:
        """Step with word from outside that the robot is lost or was moved: tracking monitors, or a service call."""
        return self._lose(Cause.LOSS_SIGNAL, detail)

    def on_prior(self, prior: Belief, *, anchor: bool = False) -> Decision:
        """Step with a pose from elsewhere: `initialpose` or the pose saved at the last shut-down.

        Args:
            prior: it replaces all other hypotheses; `votes_with_prior` agreeing views are enough to trust it.
            anchor: whoever gives it vouches for it: `map -> odom` follows at once. Poses wait for agreeing fixes.
        """
        prior = planar.flatten_belief(prior) if self._settings.planar else prior
        self._places.clear()
        self._restart_views()
        place = self._places.found(prior, votes_needed=self._settings.votes_with_prior, favoured=True)
        if anchor:
            self._trust(place, prior.stamp_ns)
            detail = "a pose was given; fixes must agree with it"
            return self._decide(State.DEGRADED, Cause.ANCHORED, detail, recovered=True)
        detail = f"a prior was given; {self._settings.votes_with_prior:g} views must agree with it"
        return self._decide(self._idle_state, Cause.TOO_FEW_VIEWS, detail)

    def _advance(self, stamp_ns: int, T_odom_body: Array) -> Decision | None:
        """Move on to an image; return a decision when its stamp or its odometry forbids to use it."""
        last_ns, last = self._image_ns, self._T_odom_body
        if last_ns is not None and stamp_ns <= last_ns:
            if self._is_backward(stamp_ns, last_ns):
                return self._clock_backward(stamp_ns, last_ns)
            detail = f"image of {stamp_ns / NS_PER_S:.3f} s came after that of {last_ns / NS_PER_S:.3f} s; not used"
            return self._decide(self._state, Cause.OUT_OF_ORDER, detail)
        self._image_ns, self._T_odom_body = stamp_ns, T_odom_body
        if last_ns is not None and last is not None:
            travel_m, turn_rad = motion(se3.inverse(last) @ T_odom_body)
            seconds = (stamp_ns - last_ns) / NS_PER_S
            reach_m = self._settings.max_speed_m_s * seconds + _ODOMETRY_SLACK
            reach_rad = self._settings.max_turn_rate_rad_s * seconds + _ODOMETRY_SLACK
            if travel_m > reach_m or turn_rad > reach_rad:
                moved = f"odometry moved {travel_m:.2f} m, {turn_rad:.2f} rad in {seconds:.3f} s"
                return self._lose(Cause.ODOMETRY_JUMP, f"{moved}, limits {reach_m:.2f} m, {reach_rad:.2f} rad")
            self._travel_m += travel_m
        self._views.advance(T_odom_body, stamp_ns)
        return None

    def _search(self, stamp_ns: int) -> Decision:
        """Nothing is trusted: does the place with the most votes earn it?"""
        best = self._places.ranked()[0]
        votes, rival = self._places.votes(best), self._places.rival_votes(best)
        share = votes / max(self._places.cast(since_ns=best.born_ns), votes, 1e-9)
        enough = votes >= best.votes_needed - 1e-9 and share >= self._settings.min_share
        waiting = State.CANDIDATE if votes >= _CANDIDATE_VOTES else self._idle_state
        stood = self._stood_long_enough(best, stamp_ns)
        if not enough and not stood:
            detail = f"{votes:.1f} of {best.votes_needed:g} views agree ({share:.0%} of those since, limit "
            detail += f"{self._settings.min_share:.0%}); drive or turn to gather more"
            return self._decide(waiting, Cause.TOO_FEW_VIEWS, detail)
        needed = self._settings.votes_unknown(self._proof) + self._settings.votes_per_rival_vote * rival
        if votes < needed - 1e-9 and not best.favoured and not stood:
            detail = f"two places look alike: {votes:.1f} views against {rival:.1f}; {needed:.1f} are needed"
            return self._decide(waiting, Cause.AMBIGUOUS, detail)
        if not self._is_certain(best.belief):
            return self._decide(waiting, Cause.UNCERTAIN, self._uncertainty(best.belief))
        self._trust(best, stamp_ns)
        detail = f"{votes:.1f} views agree, the next place has {rival:.1f}"
        return self._decide(State.TRACKING, Cause.ACCEPTED, detail, publish=best.belief, recovered=True)

    def _weigh_proof(self, joined: Hypothesis, novelty: float) -> None:
        """Note whether the places of this map look different, as views come.

        A kidnap makes a rival too, but then nothing speaks for the place before any more: in twins both go on.
        """
        trusted = self._places.trusted
        leader = self._places.ranked()[0] if trusted is None else trusted
        if joined is not leader:
            return
        if self._places.rival_votes(leader) >= _CANDIDATE_VOTES:
            self._proof = 0.0
        elif trusted is not None:
            self._proof += novelty

    def _check(self, joined: Hypothesis, trusted: Hypothesis, stamp_ns: int) -> Decision:
        """Something is trusted: does this fix agree, or do the fixes speak for another place?"""
        if joined is not trusted:
            self._agreeing_fixes = 0
            votes, ours = (self._places.votes(place, since_ns=joined.born_ns) for place in (joined, trusted))
            if votes >= ours + self._settings.votes_to_doubt - 1e-9:
                detail = f"{votes:.1f} views agree on another place, {ours:.1f} on the trusted one; kidnapped?"
                return self._doubt(joined, detail)
            return self._without_agreement(stamp_ns, Cause.OUTLIER, "the fix disagrees with the trusted pose")
        self._agreed_ns, self._travel_m = stamp_ns, 0.0
        self._agreeing_fixes += 1
        if not self._is_certain(joined.belief):
            return self._decide(State.DEGRADED, Cause.UNCERTAIN, self._uncertainty(joined.belief))
        ours, rival = self._places.votes(trusted), self._places.rival_votes(trusted)
        if rival > self._settings.max_rival_share_tracking * ours + _VOTES_AT_LEAST:
            detail = f"two places look alike: {ours:.1f} views for the trusted one against {rival:.1f}"
            return self._decide(State.DEGRADED, Cause.AMBIGUOUS, detail)
        if self._state is State.DEGRADED and self._agreeing_fixes < self._settings.fixes_to_return:
            detail = f"{self._agreeing_fixes} of {self._settings.fixes_to_return} fixes in a row agree again"
            return self._decide(State.DEGRADED, Cause.RETURNING, detail)
        return self._decide(State.TRACKING, Cause.AGREES, "the fix agrees", publish=joined.belief)

    def _on_image_without_fix(self, stamp_ns: int, T_odom_body: Array, cause: Cause, detail: str) -> Decision:
        interruption = self._advance(stamp_ns, T_odom_body)
        if interruption is not None:
            return interruption
        self._places.carry(T_odom_body, stamp_ns)
        self._agreeing_fixes = 0
        return self._without_agreement(stamp_ns, cause, detail)

    def _without_agreement(self, stamp_ns: int, cause: Cause, detail: str) -> Decision:
        """How long does dead reckoning carry on?"""
        trusted, limits = self._places.trusted, self._settings
        if trusted is None:
            leader = next(iter(self._places.ranked()), None)
            agreed = leader is not None and self._places.votes(leader) >= _CANDIDATE_VOTES
            return self._decide(State.CANDIDATE if agreed else self._idle_state, cause, detail)
        seconds = (stamp_ns - self._agreed_ns) / NS_PER_S
        silence = f"{detail}; {seconds:.1f} s (limit {limits.lost_after_s:g}) and {self._travel_m:.1f} m (limit "
        silence += f"{limits.lost_after_m:g}) without an agreeing fix"
        if seconds > limits.lost_after_s or self._travel_m > limits.lost_after_m:
            return self._lose(Cause.TIMED_OUT, silence)
        std_m, std_rad = trusted.belief.position_std_m, trusted.belief.rotation_std_rad
        if std_m > self._lost_std_m or std_rad > self._lost_std_rad:
            return self._lose(Cause.TIMED_OUT, f"{silence}; by now {std_m:.2f} m, {std_rad:.2f} rad uncertain")
        late = seconds > limits.degraded_after_s
        return self._decide(State.DEGRADED if late else self._state, cause, silence)

    def _trust(self, place: Hypothesis, stamp_ns: int) -> None:
        self._places.trusted = place
        self._idle_state = State.LOST
        self._agreed_ns, self._travel_m, self._agreeing_fixes = stamp_ns, 0.0, 0
        # An anchor may start beyond the limits: it ends when dead reckoning has doubled its doubt.
        self._lost_std_m = max(self._settings.lost_position_std_m, 2.0 * place.belief.position_std_m)
        self._lost_std_rad = max(self._settings.lost_rotation_std_rad, 2.0 * place.belief.rotation_std_rad)

    def _doubt(self, rival: Hypothesis, detail: str) -> Decision:
        """End trust on the fixes' word alone. Both places may compete; the new one needs more than the usual votes."""
        self._votes_needed = self._settings.votes_to_switch
        self._places.forget_before(rival.born_ns)
        self._places.end_trust(votes_to_return=self._settings.votes_to_accept, votes_elsewhere=self._votes_needed)
        return self._decide(State.LOST, Cause.CONTRADICTED, detail)

    def _lose(self, cause: Cause, detail: str) -> Decision:
        """End trust because something happened: what was seen before says nothing about where the robot is now."""
        self._places.clear()
        self._restart_views()
        self._votes_needed = self._settings.votes_unknown(self._proof)
        return self._decide(self._idle_state, cause, detail)

    def _restart_views(self) -> None:
        limits = self._settings
        self._views = ViewMeter(travel_m=limits.view_travel_m, turn_rad=limits.view_turn_rad, seconds=limits.view_s)

    def _stood_long_enough(self, place: Hypothesis, stamp_ns: int) -> bool:
        limits = self._settings
        return (
            limits.trust_standing
            and (stamp_ns - place.born_ns) / NS_PER_S >= limits.standing_s
            and place.fixes >= limits.standing_fixes
            and place.fix_share >= limits.standing_share
            and self._is_certain(place.belief, share=_CERTAINTY_WHEN_STANDING)
        )

    def _is_certain(self, belief: Belief, *, share: float = 1.0) -> bool:
        return (
            belief.position_std_m <= share * self._settings.max_position_std_m
            and belief.rotation_std_rad <= share * self._settings.max_rotation_std_rad
        )

    def _uncertainty(self, belief: Belief) -> str:
        limits = self._settings
        return (
            f"the pose is {belief.position_std_m:.2f} m, {belief.rotation_std_rad:.3f} rad uncertain, limits "
            f"{limits.max_position_std_m:.2f} m, {limits.max_rotation_std_rad:.3f} rad"
        )

    def _is_backward(self, stamp_ns: int, last_ns: int) -> bool:
        return (last_ns - stamp_ns) / NS_PER_S > self._settings.clock_tolerance_s

    def _clock_backward(self, stamp_ns: int, last_ns: int) -> Decision:
        detail = f"the clock jumped back from {last_ns / NS_PER_S:.3f} s to {stamp_ns / NS_PER_S:.3f} s"
        return self.reset(Cause.CLOCK_BACKWARD, detail)

    def _decide(
        self, state: State, cause: Cause, detail: str, *, publish: Belief | None = None, recovered: bool = False
    ) -> Decision:
        self._state, self._cause, self._detail = state, cause, detail
        trusted = self._places.trusted
        return Decision(
            state=state,
            cause=cause,
            detail=detail,
            trusted=None if trusted is None else trusted.belief,
            publish=publish,
            recovered=recovered,
        )
