"""Bundles that follow sequences, on the frames that others localize one by one: told where each sequence starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from time import perf_counter

import numpy as np

from reloc_ros.datasets.images import PosedImage
from reloc_ros.evaluation.replay import FrameResult
from reloc_ros.evaluation.sequence_replay import SequenceBundle
from reloc_ros.geometry.covariance import change_map_frame
from reloc_ros.localization.sequence import SequenceEstimate
from reloc_ros.types import Array, Estimate, Localization, Reason, Rejected

TOLD = "the first pose of each sequence"
"""What such a bundle has to be told besides the images."""


def follow_told(
    bundle: SequenceBundle,
    drive: Sequence[PosedImage],
    judged: Sequence[PosedImage],
    track: Callable[[Sequence[PosedImage], str], Iterable[PosedImage]],
) -> list[FrameResult]:
    """Return what a bundle says of some frames of a drive that it sees from the start, in the map of the true first pose.

    A first frame has no pose: it was told. Poses after the bundle has lost its sequence have nothing to do with the first
    frame; they are left out, too. A network without a local branch does not know when to take a keyframe; it is told by
    the true motion.

    Args:
        bundle: that is judged.
        drive: all images, each sequence in order of time.
        judged: those of them whose results are asked for.
        track: shows progress over images.

    Raises:
        DatasetError: an image cannot be read.
    """
    asked = {(image.sequence, image.name) for image in judged}
    found: dict[tuple[str, str], FrameResult] = {}
    for name, images in groupby(drive, key=lambda image: image.sequence):
        sequence = list(images)
        last = max((k for k, image in enumerate(sequence) if (name, image.name) in asked), default=-1)
        localizer = bundle.localizer()
        first_chain: int | None = None
        for k, image in enumerate(track(sequence[: last + 1], f"Following, {bundle.name}")):
            frame = image.frame()
            start = perf_counter()
            said = localizer.localize(frame, None if bundle.has_local_branch else image.T_map_camera)
            seconds = perf_counter() - start
            if first_chain is None and isinstance(said, SequenceEstimate):
                first_chain = said.chain
            found[name, image.name] = FrameResult(
                name=image.name,
                sequence=name,
                stamp_ns=image.stamp_ns,
                T_map_camera=image.T_map_camera,
                localization=_in_map(said, sequence[0].T_map_camera, first_chain, is_first=k == 0),
                seconds=seconds,
                stage_seconds=dict(localizer.stage_seconds),
                brightness=float(np.mean(frame.image)) / 255,
            )
    return [found[image.sequence, image.name] for image in judged]


def _in_map(
    said: SequenceEstimate | Rejected, T_map_first: Array, first_chain: int | None, *, is_first: bool
) -> Localization:
    if isinstance(said, Rejected):
        return said
    if is_first:
        return Rejected(reason=Reason.NOT_PUBLISHED, detail="told, not found", stamp_ns=said.stamp_ns)
    if said.chain != first_chain:
        return Rejected(reason=Reason.NOT_PUBLISHED, detail=said.note, stamp_ns=said.stamp_ns)
    return Estimate(
        T_map_camera=T_map_first @ said.T_map_camera,
        covariance=change_map_frame(said.covariance, T_map_first[:3, :3]),
        map_frame="map",
        stamp_ns=said.stamp_ns,
        evidence=said.evidence,
    )
