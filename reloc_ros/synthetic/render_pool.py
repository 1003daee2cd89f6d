"""Many pictures of one world, rendered by several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType

import numpy as np

from reloc_ros.cameras.camera import Camera
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.camera_look import CameraLook
from reloc_ros.synthetic.renderer import Renderer
from reloc_ros.synthetic.worlds import World
from reloc_ros.types import Array, Image


@dataclass(frozen=True)
class Shot:
    """One picture to take: where from, T_map_camera (4, 4), with which look, and the seed of its noise."""

    T_map_camera: Array
    look: CameraLook
    seed: tuple[int, ...]


class RenderPool:
    """Renders shots in order with `workers` processes; use as a context manager."""

    def __init__(self, world: World, camera: Camera, workers: int) -> None:
        """Start the processes; each gets its own copy of the world.

        Raises:
            DatasetError: `workers` is below 1.
        """
        if workers < 1:
            raise DatasetError(f"{workers} render processes asked for; at least 1 is needed")
        self._camera = camera
        self._workers = workers
        # Spawned, not forked: the parent may run threads (progress bars, DDS).
        self._pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_prepare_worker, initargs=(world,)
        )

    def __enter__(self) -> RenderPool:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the processes."""
        self._pool.shutdown(cancel_futures=True)

    def render(self, shots: Iterable[Shot], camera: Camera | None = None) -> Iterator[Image]:
        """Yield the picture of each shot, in order, of the pool's camera or another; only a few are kept waiting."""
        waiting: deque[Future[Image]] = deque()
        for shot in shots:
            waiting.append(self._pool.submit(_render, camera or self._camera, shot))
            if len(waiting) > 4 * self._workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_renderer: Renderer | None = None


def _prepare_worker(world: World) -> None:
    global _renderer  # noqa: PLW0603 - one renderer for each worker process, built once
    _renderer = Renderer(world.mesh, world.outdoors)


def _render(camera: Camera, shot: Shot) -> Image:
    if _renderer is None:
        raise DatasetError("render worker was not prepared")
    return _renderer.render(camera, shot.T_map_camera, shot.look, np.random.default_rng(shot.seed))
