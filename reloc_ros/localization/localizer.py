"""The way of one image to a pose: prepare -> infer -> solve -> gate. Start reading here."""

from __future__ import annotations

import logging
from dataclasses import replace

from reloc_ros.bundle.manifest import Manifest
from reloc_ros.errors import ConfigError
from reloc_ros.inference.backend import Backend
from reloc_ros.localization.calibration import calibrated
from reloc_ros.localization.gate import gate
from reloc_ros.localization.prepare import Prepared, network_inputs, prepare
from reloc_ros.localization.solve import create_solver
from reloc_ros.localization.solve.regression import RegressionSolver
from reloc_ros.localization.solve.solution import Failure, Solution, Solver
from reloc_ros.localization.stages import run_stage
from reloc_ros.scenes.prior import ScenePrior, SentenceEncoder
from reloc_ros.types import Estimate, Frame, Image, Localization, Outputs, Rejected

_log = logging.getLogger(__name__)

REGRESSION = "regression"
"""The output kind whose networks give logits over scenes."""


class Localizer:
    """Localizes single frames with one bundle. The same frame always gives the same result, bit for bit.

    Args:
        manifest: what the bundle says about its network and its map.
        backend: runs the network.
        scene: name of the one that the robot is known to be in; None lets the network find it.
        text: reads an operator's sentences; None matches their words.

    Raises:
        BundleError: the bundle's output kind has no solver here, or its settings are not the solver's.
        ConfigError: the bundle has no scene of this name.
    """

    def __init__(
        self, manifest: Manifest, backend: Backend, scene: str | None = None, text: SentenceEncoder | None = None
    ) -> None:
        self._manifest = manifest
        self._backend = backend
        self._solver = _in_scene(create_solver(manifest.output_kind, manifest.solve), manifest, scene)
        self._prior = _scene_prior(manifest, text)
        self.stage_seconds: dict[str, float] = {}
        """Duration of each stage that ran in the last call, seconds."""

    def localize(self, frame: Frame) -> Localization:
        """Return the pose of the frame's camera in the map, or why there is none. Never raises.

        Each stage hands its result to the next; a failure skips the stages that follow.
        """
        self.stage_seconds = {}
        prepared = run_stage("prepare", self.stage_seconds, self._prepare, frame)
        outputs = run_stage("infer", self.stage_seconds, self._infer, prepared)
        solution = run_stage("solve", self.stage_seconds, self._solve, outputs, prepared)
        accepted = run_stage("gate", self.stage_seconds, self._gate, solution, prepared)
        return self._answer(frame, accepted)

    def hint_scene(self, sentence: str) -> str:
        """Take an operator's sentence as a prior over the scenes and return what was understood.

        It holds from the next solve on, until another sentence replaces it or an empty one clears it. May be called
        while another thread localizes.

        Raises:
            ConfigError: the sentence is too long, or says where the robot is not.
        """
        if self._prior is not None and sentence.strip():
            return self._prior.hint(sentence).message
        if self._prior is not None:
            self._prior.clear()
            answer = "no scene is preferred any more"
        else:
            names = ", ".join(scene.name for scene in self._manifest.scenes)
            answer = f"there is nothing to choose from: this bundle knows {names} only"
        _log.info("scene hint: %s", answer)
        return answer

    @property
    def scene_hint(self) -> str:
        """The sentence that is in force; empty without one."""
        hint = None if self._prior is None else self._prior.current
        return "" if hint is None else hint.sentence

    def network_view(self, frame: Frame) -> Image | None:
        """Return the frame (H, W, 3) as the network sees it, or None where it refuses the camera; for pictures."""
        prepared = self._prepare(frame)
        return None if isinstance(prepared, Failure) else prepared.image[0]

    def _prepare(self, frame: Frame) -> Prepared | Failure:
        return prepare(frame, self._manifest.input, self._manifest.camera)

    def _infer(self, prepared: Prepared) -> Outputs:
        return self._backend.run(network_inputs(self._manifest, prepared.image, prepared.camera))

    def _solve(self, outputs: Outputs, prepared: Prepared) -> Solution | Failure:
        expected = outputs if self._prior is None else self._prior.apply(outputs)
        solution = self._solver(expected, prepared.camera)
        if isinstance(solution, Failure):
            return solution
        spec = self._manifest.scenes[solution.scene].covariance
        return replace(solution, covariance=calibrated(solution.covariance, spec))

    def _gate(self, solution: Solution, prepared: Prepared) -> Solution | Failure:
        scene = self._manifest.scenes[solution.scene]
        return gate(solution, scene.gate, scene.map_bounds, prepared.contrast)

    def _answer(self, frame: Frame, accepted: Solution | Failure) -> Localization:
        if isinstance(accepted, Failure):
            return Rejected(reason=accepted.reason, detail=accepted.detail, stamp_ns=frame.stamp_ns)
        scene = self._manifest.scenes[accepted.scene]
        return Estimate(
            T_map_camera=accepted.T_map_camera,
            covariance=accepted.covariance,
            map_frame=scene.map_frame,
            stamp_ns=frame.stamp_ns,
            evidence=accepted.evidence,
            scene=scene.name,
            cell_weights=accepted.cell_weights,
        )


def _scene_prior(manifest: Manifest, text: SentenceEncoder | None) -> ScenePrior | None:
    """Return the prior of a network that decides between scenes, else None."""
    if manifest.output_kind != REGRESSION or len(manifest.scenes) == 1:
        return None
    names, descriptions = zip(*((scene.name, scene.description) for scene in manifest.scenes), strict=True)
    return ScenePrior(names, descriptions, text)


def _in_scene(solver: Solver, manifest: Manifest, scene: str | None) -> Solver:
    """Return the solver, told the scene where it would have to find it."""
    if scene is None:
        return solver
    names = [each.name for each in manifest.scenes]
    if scene not in names:
        raise ConfigError(f"scene is {scene!r}, the bundle knows {', '.join(names)}; choose one of these")
    return replace(solver, scene=names.index(scene)) if isinstance(solver, RegressionSolver) else solver
