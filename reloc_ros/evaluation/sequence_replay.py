"""Sequence bundles over whole recordings, as on the robot, with the truth beside each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from time import perf_counter

import numpy as np

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import MODEL_NAME
from reloc_ros.cameras.canvas import Canvas
from reloc_ros.cameras.narrow import NarrowCamera
from reloc_ros.datasets.images import PosedImage, PosedImages
from reloc_ros.errors import ConfigError, DatasetError
from reloc_ros.evaluation.sequence_error import CHAINED, FollowedSequence, with_standing_still
from reloc_ros.evaluation.sequence_report import SequenceSubject
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.localization.keyframes import KeyframePolicy
from reloc_ros.localization.sequence import SequenceEstimate, SequenceLocalizer
from reloc_ros.localization.sequence_network import SequenceNetwork, sequence_spec
from reloc_ros.types import Array, Frame

_FULL_CIRCLE_DEG = 360.0
_SHOWN_BEFORE = "previous"
"""State of networks that compare each frame with the one before, and so know how far they moved."""

Track = Callable[[Sequence[list[PosedImage]], str], Iterable[list[PosedImage]]]


class SequenceBundle:
    """A bundle that follows sequences, and its graphs.

    Args:
        path: bundle folder.
        backend: name in the back-end table.
        threads: of the networks; 0 is automatic.
    """

    def __init__(self, path: str, backend: str, threads: int) -> None:
        self.bundle: Bundle = load_bundle(path)
        self.name = Path(path).name
        self.encoder: Backend = create_backend(backend, self.bundle.encoder(), threads)
        self.step: Backend = create_backend(backend, self.bundle, threads)

    @property
    def has_local_branch(self) -> bool:
        """Whether it says how far the camera moved since the last keyframe."""
        return _SHOWN_BEFORE in {state.name for state in sequence_spec(self.bundle.manifest).state}

    def localizer(self) -> SequenceLocalizer:
        """Return one at the start of a sequence."""
        return SequenceLocalizer(self.bundle.manifest, self.encoder, self.step)

    def follow(self, images: Sequence[PosedImage], fov_deg: float) -> tuple[Array, Array, list[float]]:
        """Return poses (N, 4, 4) and covariances (N, 6, 6), NaN where there are none, and the seconds of each frame.

        A network without a local branch does not know when to take a keyframe; it is told by the true motion.

        Args:
            images: of one sequence.
            fov_deg: that is left of their view.
        """
        localizer = self.localizer()
        poses, covariances = np.full((len(images), 4, 4), np.nan), np.full((len(images), 6, 6), np.nan)
        seconds: list[float] = []
        first_chain: int | None = None
        for index, image in enumerate(images):
            frame = _narrow_frame(image, fov_deg)
            start = perf_counter()
            found = localizer.localize(frame, None if self.has_local_branch else image.T_map_camera)
            seconds.append(perf_counter() - start)
            if not isinstance(found, SequenceEstimate):
                continue
            first_chain = found.chain if first_chain is None else first_chain
            # Relative to another first frame a pose is of no use here.
            if found.chain == first_chain and index > 0:
                poses[index], covariances[index] = found.T_map_camera, found.covariance
        poses[0] = np.eye(4)
        return poses, covariances, seconds

    def follow_chained(self, images: Sequence[PosedImage], fov_deg: float) -> Array:
        """Return poses (N, 4, 4) from nothing but the motion since the last keyframe, one after the other."""
        network = SequenceNetwork(self.bundle.manifest, self.encoder, self.step)
        spec = self.bundle.manifest.input
        canvas = Canvas(spec.width, spec.height)
        policy = KeyframePolicy(
            translation_m=network.spec.keyframe_translation_m,
            rotation_rad=network.spec.keyframe_rotation_rad,
            max_translation_m=np.inf,
            max_rotation_rad=np.inf,
        )
        arrays = network.fresh()
        T_first_keyframe = np.eye(4)
        poses = []
        for image in images:
            frame = _narrow_frame(image, fov_deg)
            step = network.step(network.encode(canvas.paint(frame.image, frame.camera)), arrays)
            poses.append(T_first_keyframe @ step.T_previous_camera)
            if not poses[:-1] or policy.is_keyframe(step.T_previous_camera):
                T_first_keyframe, arrays = poses[-1], step.arrays
        return np.stack(poses)

    def close(self) -> None:
        """Free both graphs."""
        self.encoder.close()
        self.step.close()


def follow_all(
    bundles: Sequence[SequenceBundle], dataset: PosedImages, fields_deg: Sequence[float], track: Track
) -> tuple[list[FollowedSequence], float]:
    """Return every sequence of a data set as each bundle followed it in each field of view, and the median seconds.

    Beside the bundles, by the names of their folders, stand the chained inter-frame poses of the first one and standing
    still.

    Args:
        bundles: the first is the one that is judged.
        dataset: with sequences of two frames or more; shorter ones are left out.
        fields_deg: that are left of the images' view.
        track: shows progress over sequences.

    Raises:
        ConfigError: two bundles have one name.
        DatasetError: an image cannot be read, or no sequence has two frames.
    """
    names = [bundle.name for bundle in bundles]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"bundles are told apart by the names of their folders, given are {', '.join(names)}; rename one"
        )
    sequences = [list(images) for _, images in groupby(dataset.images, key=lambda image: image.sequence)]
    sequences = [images for images in sequences if len(images) > 1]
    if not sequences:
        raise DatasetError(f"{dataset.name} holds no sequence of two frames; an error relative to the first needs one")
    followed: list[FollowedSequence] = []
    seconds: list[float] = []
    for fov_deg in fields_deg:
        for images in track(sequences, f"Following at {fov_deg:.0f} deg"):
            loaded = _loaded(images)
            poses, covariances, taken = bundles[0].follow(loaded, fov_deg)
            seconds += taken
            found = {bundles[0].name: poses}
            found |= {bundle.name: bundle.follow(loaded, fov_deg)[0] for bundle in bundles[1:]}
            if bundles[0].has_local_branch:
                found[CHAINED] = bundles[0].follow_chained(loaded, fov_deg)
            sequence = FollowedSequence(
                name=images[0].sequence,
                T_world_camera=np.stack([image.T_map_camera for image in images]),
                T_first_camera=found,
                height_m=images[0].height_m,
                fov_deg=fov_deg,
                covariance=covariances,
            )
            followed.append(replace(sequence, T_first_camera=with_standing_still(sequence)))
    return followed, float(np.median(seconds))


def subject_of(bundle: SequenceBundle, path: str, data: str, dataset: PosedImages, seconds: float) -> SequenceSubject:
    """Return what the report is about."""
    manifest = bundle.bundle.manifest
    return SequenceSubject(
        bundle=path,
        method=manifest.method,
        model_sha256=manifest.files[MODEL_NAME],
        data=data,
        ground_truth=dataset.ground_truth,
        metric=dataset.metric,
        backend=bundle.step.name,
        device=bundle.step.device,
        milliseconds=1000.0 * seconds,
    )


def _narrow_frame(image: PosedImage, fov_deg: float) -> Frame:
    frame = image.frame()
    return frame if fov_deg >= _FULL_CIRCLE_DEG else replace(frame, camera=NarrowCamera(frame.camera, fov_deg))


def _loaded(images: Sequence[PosedImage]) -> list[PosedImage]:
    """Return images that are read once and kept."""

    def keep(image: PosedImage) -> PosedImage:
        pixels = image.load()
        return replace(image, load=lambda: pixels)

    return [keep(image) for image in images]
