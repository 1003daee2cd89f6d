"""Ray casting against a mesh with Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from reloc_ros.synthetic.mesh import Floats


@dataclass(frozen=True)
class Hits:
    """What each ray met first.

    Args:
        face: (N,) index of the face, -1 where the ray left the world.
        u: (N,) barycentric weight of the face's second corner.
        v: (N,) barycentric weight of its third corner.
        distance: (N,) metres for unit directions.
    """

    face: NDArray[np.int32]
    u: Floats
    v: Floats
    distance: Floats


class RayCaster:
    """Answers which triangle a ray meets first."""

    def __init__(self, triangles: Floats) -> None:
        """Build the search structure over (F, 3, 3) triangles, metres."""
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(triangles, np.float32))

    def cast(self, origins: Floats, directions: Floats) -> Hits:
        """Return the first hits of (N, 3) rays."""
        found = self._scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), output=1
        )
        return Hits(found["primID"], found["u"], found["v"], found["tfar"])

    def blocked(self, origins: Floats, targets: Floats) -> NDArray[np.bool_]:
        """Return (N,) whether something stands between each origin and its target (both (N, 3), metres)."""
        return self.cast(origins, targets - origins).distance < 1.0
