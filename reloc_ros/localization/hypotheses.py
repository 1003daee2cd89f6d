"""Which place do the fixes speak for? Clusters of fixes that agree through odometry compete for votes.

A fix joins the hypothesis it agrees with best, or founds one. Its vote weighs as much as its view is new: images of
a standing robot repeat one mistake and together count once.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from reloc_ros.geometry import se3
from reloc_ros.localization.fusion import (
    NS_PER_S,
    Belief,
    OdometryNoise,
    fuse,
    motion,
    predict,
    squared_mahalanobis,
    turn_between_rad,
)
from reloc_ros.localization.recovery_settings import RecoverySettings
from reloc_ros.types import Array

_MAX_HYPOTHESES = 8
"""Bounds time and memory; random fixes found one each, and only those with votes matter."""

_VOTES_TO_MERGE = 2.0
_STRETCH = 3.0
"""Standard deviations of an uncertain place within which fixes still belong to it."""


class ViewMeter:
    """Measures how much of what a camera sees is new, by how far odometry is from where the last view ended.

    The straight distance counts, not the path: the jitter of a standing robot's odometry never adds up to a view.

    Args:
        travel_m, turn_rad, seconds: what makes one whole view.
    """

    def __init__(self, *, travel_m: float, turn_rad: float, seconds: float) -> None:
        self._travel_m, self._turn_rad, self._seconds = travel_m, turn_rad, seconds
        self._T_odom_anchor: Array | None = None
        self._anchor_ns = 0
        self._reached = 0.0
        self._new = 1.0

    def advance(self, T_odom_body: Array, stamp_ns: int) -> None:
        """Note where the camera is."""
        if self._T_odom_anchor is None:
            self._T_odom_anchor, self._anchor_ns = T_odom_body, stamp_ns
        travel_m, turn_rad = motion(se3.inverse(self._T_odom_anchor) @ T_odom_body)
        seconds = (stamp_ns - self._anchor_ns) / NS_PER_S
        progress = min(1.0, max(travel_m / self._travel_m, turn_rad / self._turn_rad, seconds / self._seconds))
        self._new = min(1.0, self._new + max(0.0, progress - self._reached))
        self._reached = max(self._reached, progress)
        if progress >= 1.0:
            self._T_odom_anchor, self._anchor_ns, self._reached = T_odom_body, stamp_ns, 0.0

    def take(self) -> float:
        """Return how much of a view, 0 to 1, is new since this was last asked."""
        new, self._new = self._new, 0.0
        return new


@dataclass(eq=False)
class Hypothesis:
    """One place where the robot may be.

    Args:
        belief: all agreeing fixes, fused.
        born_ns: stamp of its first fix.
        votes_needed: to be trusted.
        favoured: a person or continuity speaks for it (a prior, or trusted until the doubt): it may prevail against a
            strong rival.
        fixes: that joined it.
        seen: fixes that came since it was born, its own included.
    """

    belief: Belief
    born_ns: int
    votes_needed: float
    favoured: bool = False
    fixes: int = 0
    seen: int = 0

    @property
    def fix_share(self) -> float:
        """Part of the fixes since its birth that joined it."""
        return self.fixes / max(self.seen, 1)


@dataclass(frozen=True)
class _Vote:
    hypothesis: Hypothesis
    weight: float
    stamp_ns: int


class Hypotheses:
    """The competing places and their votes.

    Args:
        settings: limits.
        noise: how odometry drifts.
    """

    def __init__(self, settings: RecoverySettings, noise: OdometryNoise) -> None:
        self._settings = settings
        self._noise = noise
        self._limit = settings.chi2_limit(settings.freedoms)
        self.trusted: Hypothesis | None = None
        """Takes every fix that it agrees with, however well that would fit elsewhere."""
        self._places: list[Hypothesis] = []
        self._votes: deque[_Vote] = deque()

    def clear(self) -> None:
        """Forget all."""
        self.trusted = None
        self._places.clear()
        self._votes.clear()

    def found(self, belief: Belief, *, votes_needed: float, favoured: bool = False) -> Hypothesis:
        """Add a place without votes, for example a prior."""
        place = Hypothesis(belief=belief, born_ns=belief.stamp_ns, votes_needed=votes_needed, favoured=favoured)
        self._places.append(place)
        return place

    def add(self, fix: Belief, *, novelty: float, votes_needed: float) -> Hypothesis:
        """Let a fix join the hypothesis it agrees with best, or found one.

        Args:
            fix: later than all before it.
            novelty: how much of its view is new, 0 to 1.
            votes_needed: of a hypothesis that this fix founds.

        Returns:
            the hypothesis that the fix now belongs to.
        """
        # A repeated view may slowly correct a place, though it is no evidence for it.
        seconds = {id(place): (fix.stamp_ns - place.belief.stamp_ns) / NS_PER_S for place in self._places}
        for place in self._places:
            place.belief = predict(place.belief, fix.T_odom_body, fix.stamp_ns, self._noise)
        joined = self._nearest(fix)
        if joined is None:
            joined = self.found(fix, votes_needed=votes_needed)
        else:
            share = min(1.0, max(novelty, seconds[id(joined)] / self._settings.static_view_s))
            joined.belief = fuse(joined.belief, fix, freedoms=self._settings.freedoms, share=share)
        for place in self._places:
            place.seen += 1
        joined.fixes += 1
        if novelty > 0.0:
            self._votes.append(_Vote(joined, novelty, fix.stamp_ns))
        joined = self._merge(joined)
        self._forget(fix.stamp_ns, kept=joined)
        return joined

    def end_trust(self, *, votes_to_return: float, votes_elsewhere: float) -> None:
        """Let the trusted place compete with all others again, each with its own number of votes to win."""
        for place in self._places:
            place.favoured = place is self.trusted
            place.votes_needed = votes_to_return if place.favoured else votes_elsewhere
        self.trusted = None

    def carry(self, T_odom_body: Array, stamp_ns: int) -> None:
        """Move all places along with odometry: an image came without a fix."""
        for place in self._places:
            place.belief = predict(place.belief, T_odom_body, stamp_ns, self._noise)
        self._forget(stamp_ns, kept=None)

    def agree(self, one: Belief, other: Belief) -> bool:
        """Whether two poses at one stamp may be the same: within the covariances, and within the caps."""
        return self._near(one, other) and squared_mahalanobis(one, other) <= self._limit

    def ranked(self) -> list[Hypothesis]:
        """Return the places, most votes first."""
        return sorted(self._places, key=self.votes, reverse=True)

    def votes(self, place: Hypothesis, *, since_ns: int = 0) -> float:
        """Return the votes for a place since a stamp."""
        return math.fsum(v.weight for v in self._votes if v.hypothesis is place and v.stamp_ns >= since_ns)

    def rival_votes(self, best: Hypothesis) -> float:
        """Return the votes for the strongest *other* place.

        Places within the caps of each other are fragments of one, divided by heavy tails: they vote together, and
        those beside the best are no rivals of it.
        """
        others = [place for place in self._places if not self._near(best.belief, place.belief)]
        sums = (
            math.fsum(self.votes(other) for other in others if self._near(place.belief, other.belief))
            for place in others
        )
        return max(sums, default=0.0)

    def cast(self, *, since_ns: int) -> float:
        """Return the votes for all places since a stamp."""
        return math.fsum(v.weight for v in self._votes if v.stamp_ns >= since_ns)

    def forget_before(self, stamp_ns: int) -> None:
        """Drop older votes."""
        while self._votes and self._votes[0].stamp_ns < stamp_ns:
            self._votes.popleft()

    def _near(self, one: Belief, other: Belief) -> bool:
        """Whether two poses lie within the caps; a pose given by a person, of large covariance, stretches them."""
        distance_m = float(np.linalg.norm(one.T_map_body[:3, 3] - other.T_map_body[:3, 3]))
        if distance_m > self._settings.max_correction_m and distance_m > _STRETCH * one.position_std_m:
            return False
        turn_rad = turn_between_rad(one.T_map_body[:3, :3], other.T_map_body[:3, :3])
        return turn_rad <= self._settings.max_correction_rad or turn_rad <= _STRETCH * one.rotation_std_rad

    def _merge(self, place: Hypothesis) -> Hypothesis:
        """Unite a place with a neighbour of more votes: heavy tails divide the fixes of one place, and no rival lives there.

        Both need two views of their own, so that a single fix off the mark never slips in here.
        """
        others = [other for other in self._places if other is not place and self._near(other.belief, place.belief)]
        for other in others:
            if min(self.votes(place), self.votes(other)) < _VOTES_TO_MERGE:
                continue
            keeps_place = place is self.trusted or (
                other is not self.trusted and self.votes(place) >= self.votes(other)
            )
            kept, gone = (place, other) if keeps_place else (other, place)
            kept.belief = fuse(kept.belief, gone.belief, freedoms=self._settings.freedoms)
            kept.born_ns = min(kept.born_ns, gone.born_ns)
            kept.votes_needed = min(kept.votes_needed, gone.votes_needed)
            kept.favoured |= gone.favoured
            self._votes = deque(replace(v, hypothesis=kept) if v.hypothesis is gone else v for v in self._votes)
            self._places.remove(gone)
            place = kept
        return place

    def _nearest(self, fix: Belief) -> Hypothesis | None:
        if self.trusted is not None and self.agree(self.trusted.belief, fix):
            return self.trusted
        agreeing = [place for place in self._places if self.agree(place.belief, fix)]
        return min(agreeing, key=lambda place: squared_mahalanobis(place.belief, fix), default=None)

    def _forget(self, now_ns: int, *, kept: Hypothesis | None) -> None:
        self.forget_before(now_ns - round(self._settings.memory_s * NS_PER_S))
        surplus = math.fsum(vote.weight for vote in self._votes) - self._settings.memory_votes
        while surplus > 0.0:
            surplus -= self._votes.popleft().weight
        age_ns = round(self._settings.memory_s * NS_PER_S)
        safe = (kept, self.trusted)
        alive = [p for p in self._places if p in safe or self.votes(p) > 0.0 or now_ns - p.born_ns <= age_ns]
        while len(alive) > _MAX_HYPOTHESES:
            alive.remove(min((p for p in alive if p not in safe), key=lambda p: (self.votes(p), p.born_ns)))
        self._places = alive
