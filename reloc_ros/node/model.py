"""The relocalizer behind the node: its bundle is verified at once, its network loaded and warmed up later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reloc_ros.bundle.load import Bundle, load_bundle
from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import ConfigError
from reloc_ros.inference.backend import Backend
from reloc_ros.inference.serving import serve
from reloc_ros.inference.text_tower import TextTower, has_text_tower
from reloc_ros.localization.localizer import Localizer
from reloc_ros.node.sequence_frames import SequenceFrames, serve_sequence
from reloc_ros.node.settings import FROM_BUNDLE, Settings
from reloc_ros.types import Frame, Image, Localization

_MAP_FRAME = "map"
"""Where an `initialpose` is given, when neither an absolute bundle nor the parameters say otherwise."""


_PANORAMA = "equirectangular"
"""What the images of a sequence are, unless the parameters say otherwise: its networks take any."""


class FrameLocalizer(Protocol):
    """What the node needs of a localizer."""

    stage_seconds: dict[str, float]

    def localize(self, frame: Frame) -> Localization:
        """Return the pose of the frame's camera, or why there is none."""

    def hint_scene(self, sentence: str) -> str:
        """Take a sentence about where the robot is, empty for none, and return what was understood.

        Raises:
            ConfigError: it cannot be used as a hint.
        """

    @property
    def scene_hint(self) -> str:
        """The sentence that is in force; empty without one."""

    def network_view(self, frame: Frame) -> Image | None:
        """Return the frame as the network sees it, or None where it refuses the camera."""


def _nothing_to_free() -> None:
    """Fit a model that holds no resources."""


def _no_engine() -> str:
    """Fit a model whose back end stays what it is."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A relocalizer that is ready, and what diagnostics say about it."""

    localizer: FrameLocalizer
    method: str
    camera_model: str
    backend: Backend
    engine: Callable[[], str] = _no_engine
    """How the search for an engine stands; empty where none is searched for."""
    sequence: SequenceFrames | None = None
    """The localizer, where it is one of a sequence."""
    map_frames: tuple[str, ...] = ("map",)
    fingerprint: str = ""
    """Of the network: a pose saved with another one is not used."""
    close: Callable[[], None] = _nothing_to_free


Load = Callable[[], Model]
OpenModel = Callable[[Settings], Load]


def open_model(settings: Settings) -> Load:
    """Verify the bundle and return the function that loads it, which may take long.

    Raises:
        BundleError: the bundle is missing, truncated, tampered with or of another schema.
        ConfigError: the parameters ask for what bundles of this kind cannot do.
    """
    bundle = load_bundle(settings.bundle)
    if bundle.manifest.sequence is None:
        _check_single(settings, bundle.manifest)
        return _single(bundle, settings)
    anchors = None
    if settings.anchor_bundle:
        anchor_bundle = load_bundle(settings.anchor_bundle)
        if anchor_bundle.manifest.sequence is not None:
            raise ConfigError(f"anchor_bundle {settings.anchor_bundle} is one of a sequence, which knows no map")
        anchors = _single(anchor_bundle, settings)
    return _sequence(bundle, settings, anchors)


def _single(bundle: Bundle, settings: Settings) -> Load:
    """Return what loads a bundle that localizes single images."""
    manifest = bundle.manifest
    _check_map_frame(settings.map_frame, manifest)

    def load() -> Model:
        serving = serve(bundle, settings.backend, settings.threads, settings.engine_search_period_s)
        return Model(
            localizer=Localizer(manifest, serving.backend, text=TextTower(bundle) if has_text_tower(bundle) else None),
            method=manifest.method,
            camera_model=manifest.camera.model,
            backend=serving.backend,
            engine=serving.engine,
            map_frames=(settings.map_frame,) if settings.map_frame else tuple(s.map_frame for s in manifest.scenes),
            fingerprint=" ".join(manifest.files.values()),
            close=serving.close,
        )

    return load


def _sequence(bundle: Bundle, settings: Settings, load_anchors: Load | None) -> Load:
    """Return what loads a sequence bundle, and the absolute one beside it."""
    manifest = bundle.manifest

    def load() -> Model:
        anchors = None if load_anchors is None else load_anchors()
        try:
            serving = serve_sequence(bundle, settings, None if anchors is None else anchors.localizer)
        except Exception:
            if anchors is not None:
                anchors.close()
            raise

        def close() -> None:
            serving.close()
            if anchors is not None:
                anchors.close()

        return Model(
            localizer=serving.frames,
            sequence=serving.frames,
            method=manifest.method if anchors is None else f"{manifest.method} anchored by {anchors.method}",
            camera_model=_PANORAMA if settings.camera_model == FROM_BUNDLE else settings.camera_model,
            backend=serving.backend,
            engine=serving.engine,
            map_frames=(settings.map_frame or _MAP_FRAME,) if anchors is None else anchors.map_frames,
            fingerprint=" ".join(manifest.files.values()) if anchors is None else anchors.fingerprint,
            close=close,
        )

    return load


def _check_single(settings: Settings, manifest: Manifest) -> None:
    """Refuse parameters that only sequences follow."""
    if settings.anchor_bundle or settings.rig_cameras:
        what = "anchor_bundle" if settings.anchor_bundle else "rig_cameras"
        raise ConfigError(
            f"parameter {what} is set, but {manifest.method} localizes single images; clear it, or give as bundle one "
            "of a sequence (spr_mamba)"
        )
    if settings.camera_model not in (FROM_BUNDLE, manifest.camera.model):
        raise ConfigError(
            f"parameter camera_model is {settings.camera_model}, but the bundle was trained for {manifest.camera.model}"
        )


def _check_map_frame(map_frame: str, manifest: Manifest) -> None:
    frames = sorted({scene.map_frame for scene in manifest.scenes})
    if map_frame and len(frames) > 1:
        raise ConfigError(
            f"parameter map_frame is {map_frame!r}, but the scenes of this bundle live in {len(frames)} frames "
            f"({', '.join(frames)}), which one name would mix up; leave it empty"
        )
