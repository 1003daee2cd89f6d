"""Does an engine, or a graph in another precision, lead to the poses of ONNX Runtime in float32?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import ENCODER_NAME, Manifest
from reloc_ros.cameras.camera import Camera
from reloc_ros.cameras.equirectangular import EquirectangularCamera
from reloc_ros.cameras.pinhole import PinholeCamera
from reloc_ros.errors import BackendError, DegenerateGeometryError
from reloc_ros.export.gate_images import GateImages
from reloc_ros.export.parity import MAX_ROTATION_DEG, MAX_TRANSLATION_M, pose_difference
from reloc_ros.inference.backend import Backend, create_backend
from reloc_ros.inference.engine_cache import PASSED
from reloc_ros.localization.prepare import network_inputs
from reloc_ros.localization.sequence_network import SequenceNetwork, StateArrays
from reloc_ros.localization.solve import create_solver
from reloc_ros.localization.solve.solution import Failure, Solution
from reloc_ros.types import Array, Image

# A picture of no place has a loose pose: there a difference counts from this share of the pose's own deviation on.
# The demo's apartment in fp16 reaches 0.02.
_SHARE_OF_DEVIATION = 0.05


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison found.

    Args:
        passed: whether the poses agree.
        said: how closely, in words.
        median_mm: median distance of the poses of an image; None where none could be compared, as the next two.
        worst_mm: largest one.
        worst_deg: largest angle between the poses of an image.
    """

    passed: bool
    said: str
    median_mm: float | None = None
    worst_mm: float | None = None
    worst_deg: float | None = None

    def __str__(self) -> str:
        return f"{PASSED if self.passed else 'failed'}: {self.said}"


def judge(reference: Backend, candidate: Backend, bundle: Bundle, shown: GateImages, tolerance: float = 1.0) -> Verdict:
    """Compare the poses that two back ends lead to.

    Args:
        reference: what to agree with.
        candidate: what is judged.
        bundle: whose graph both run; of a sequence, the other graph is run in float32 with either.
        shown: images; to a sequence they are frames one after the other.
        tolerance: factor on the limits; above 1 is the user's own decision, and the verdict says so.
    """
    try:
        first, second = (poses_of(backend, bundle, shown.images) for backend in (reference, candidate))
    except BackendError as error:
        return Verdict(passed=False, said=f"it does not run: {error}")
    return _compare(first, second, bundle.manifest, shown.origin, tolerance)


def poses_of(backend: Backend, bundle: Bundle, images: list[Image]) -> list[Solution | Failure]:
    """Return the pose of each image.

    Args:
        backend: runs the bundle's graph.
        bundle: verified bundle.
        images: (H, W, 3) uint8 each, of the network's size; of canvases also (H, W, 4).

    Raises:
        BackendError: the network does not run.
    """
    manifest = bundle.manifest
    if bundle.model == ENCODER_NAME or manifest.sequence is not None:
        return _poses_of_sequence(backend, bundle, images)
    camera = assumed_camera(manifest)
    solver = create_solver(manifest.output_kind, _without_thresholds(manifest.solve))
    batches = (np.ascontiguousarray(image)[np.newaxis] for image in images)
    return [solver(backend.run(network_inputs(manifest, batch, camera)), camera) for batch in batches]


def _poses_of_sequence(backend: Backend, bundle: Bundle, images: list[Image]) -> list[Solution | Failure]:
    """Return the pose of each frame from the first, with one graph in a back end and the other one in float32."""
    whole = load_bundle(bundle.path)
    is_encoder = bundle.model == ENCODER_NAME
    other = create_backend("onnxruntime", whole if is_encoder else whole.encoder())
    encoder, step = (backend, other) if is_encoder else (other, backend)
    network = SequenceNetwork(whole.manifest, encoder, step)
    state: StateArrays = network.fresh()
    poses: list[Solution | Failure] = []
    try:
        for image in images:
            found = network.step(network.encode(_canvas(image)), state)
            state = found.arrays
            variances = np.repeat((found.position_m2, found.rotation_rad2), 3)
            poses.append(Solution(T_map_camera=found.T_origin_camera, covariance=np.diag(variances), evidence={}))
    except DegenerateGeometryError as error:
        raise BackendError(f"frame {len(poses)} has no pose: {error}") from error
    finally:
        other.close()
    return poses


def _canvas(image: Image) -> Image:
    """Return an image as a canvas; what does not say what the camera saw of it was seen as a whole."""
    if image.shape[2] > 3:
        return image
    seen = np.full((*image.shape[:2], 1), 255, dtype=np.uint8)
    return np.concatenate([image, seen], axis=2)


def _compare(
    expected: list[Solution | Failure],
    found: list[Solution | Failure],
    manifest: Manifest,
    origin: str,
    tolerance: float,
) -> Verdict:
    """Compare poses one by one; where none was expected, whatever was found is left alone."""
    moved_mm, turned_deg, shares, broken = [], [], [], ""
    for index, (first, second) in enumerate(zip(expected, found, strict=True)):
        if isinstance(first, Failure):
            continue
        if isinstance(second, Failure):
            return Verdict(passed=False, said=f"image {index} has no pose ({second.detail}), but one in float32")
        if first.scene != second.scene:
            names = [manifest.scenes[each.scene].name for each in (first, second)]
            return Verdict(passed=False, said=f"image {index} is in {names[1]}, in float32 in {names[0]}")
        moved_m, angle_deg = pose_difference(first, second)
        limit_m, limit_deg = (tolerance * limit for limit in _limits(manifest, first))
        moved_mm.append(1e3 * moved_m)
        turned_deg.append(angle_deg)
        shares.append(max(moved_m / limit_m, angle_deg / limit_deg))
        if not ((moved_m <= limit_m and angle_deg <= limit_deg) or broken):
            limits = f"limits {1e3 * limit_m:.3f} mm and {limit_deg:.4f} deg"
            broken = f"image {index} moves by {1e3 * moved_m:.3f} mm, {angle_deg:.4f} deg, {limits}"
    if not moved_mm:
        return Verdict(passed=False, said=f"none of {len(expected)} {origin} has a pose to compare")
    median_mm = float(np.median(moved_mm))
    measured = {"median_mm": median_mm, "worst_mm": max(moved_mm), "worst_deg": max(turned_deg)}
    if broken:
        half = f"half of {len(moved_mm)} {origin} move by more than {median_mm:.3f} mm"
        return Verdict(passed=False, said=f"{broken}; {half}", **measured)
    most = f"{max(moved_mm):.3f} mm and {max(turned_deg):.4f} deg at most over {len(moved_mm)} {origin}"
    wider = "" if tolerance == 1.0 else f"{tolerance:g} times "
    return Verdict(
        passed=True, said=f"{most}, {max(shares):.0%} of {wider}the limits of the image where that is most", **measured
    )


def assumed_camera(manifest: Manifest) -> Camera:
    """Return a camera in the middle of what the bundle serves, of the network's image size."""
    height, width = manifest.input.shape[1:3]
    assumption = manifest.camera
    if assumption.model != "pinhole":
        return EquirectangularCamera(width, height)
    fov_deg = (assumption.horizontal_fov_deg_min + assumption.horizontal_fov_deg_max) / 2
    focal_px = width / 2 / np.tan(np.radians(fov_deg) / 2)
    K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return PinholeCamera(width, height, K)


def _without_thresholds(settings: dict[str, int | float]) -> dict[str, int | float]:
    """Return a solver's numbers with nothing that turns a pose away: the poses themselves are compared."""
    turned_away = ("min_inlier_ratio", "min_conditioning", "min_scene_probability")
    return {name: type(value)(0) if name in turned_away else value for name, value in settings.items()}


def _limits(manifest: Manifest, found: Solution) -> tuple[float, float]:
    """Return what two poses of an image may differ by, metres and degrees."""
    bounds = manifest.scenes[found.scene].map_bounds
    size_m = float(np.linalg.norm(np.subtract(bounds.max_m, bounds.min_m)))
    position_std_m, rotation_std_rad = (_largest_std(found.covariance[part, part]) for part in (slice(3), slice(3, 6)))
    return (
        max(MAX_TRANSLATION_M * max(1.0, size_m), _SHARE_OF_DEVIATION * position_std_m),
        max(MAX_ROTATION_DEG, float(np.degrees(_SHARE_OF_DEVIATION * rotation_std_rad))),
    )


def _largest_std(covariance: Array) -> float:
    return float(np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 0.0)))
