"""`manifest.json` of a set of many worlds: its settings, what is finished, and which program made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reloc_ros import __version__
from reloc_ros.errors import DatasetError
from reloc_ros.synthetic.world_set import SPLITS, WorldSet
from reloc_ros.synthetic.world_set_render import PARTIAL, WorldRecord

FILE_NAME = "manifest.json"


class SetManifest:
    """The manifest of one folder, written anew after every world."""

    def __init__(self, out: Path, settings: WorldSet) -> None:
        """Create the folder, or take up the set of the same settings that it holds.

        Raises:
            DatasetError: the folder holds something else, or a set of other settings, or cannot be written.
        """
        self._out, self._path = out, out / FILE_NAME
        self._settings = json.loads(json.dumps(settings.to_dict()))
        self._order = [spec.name for spec in settings.specs()]
        self._worlds: dict[str, dict[str, Any]] = {}
        self._sequences: dict[str, list[dict[str, Any]]] = {}
        try:
            if self._path.exists():
                self._take_up(json.loads(self._path.read_text(encoding="utf-8")))
            elif out.exists() and any(out.iterdir()):
                raise DatasetError(f"{out} is not empty and holds no {FILE_NAME}; choose a new folder")
            for folder in (*SPLITS, PARTIAL):
                (out / folder).mkdir(parents=True, exist_ok=True)
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise DatasetError(f"{out} cannot be used for the data set: {error}; choose another folder") from error
        self.write()

    def _take_up(self, found: dict[str, Any]) -> None:
        """Keep what a manifest of the same settings says is finished, and lies there."""
        before = found["settings"]
        different = [key for key in self._settings if self._settings[key] != before.get(key)]
        if different:
            changes = ", ".join(f"{key} {before.get(key)} instead of {self._settings[key]}" for key in different)
            raise DatasetError(
                f"{self._out} holds a data set of other settings: {changes}; choose a new folder, or the same settings "
                "to finish it"
            )
        for world in found["worlds"]:
            sequences = [s for s in found["sequences"] if s["world"] == world["name"]]
            if all((self._out / s["split"] / s["name"] / "poses.txt").exists() for s in sequences):
                self._worlds[world["name"]], self._sequences[world["name"]] = world, sequences

    @property
    def finished(self) -> frozenset[str]:
        """Names of the worlds of which nothing is missing."""
        return frozenset(self._worlds)

    @property
    def skipped(self) -> dict[str, str]:
        """World: why it holds no sequence."""
        return {name: world["skipped"] for name, world in self._worlds.items() if world["skipped"]}

    def images(self, world: str | None = None) -> int:
        """Return the number of images of one world, or of all that are finished."""
        names = self._sequences if world is None else (world,)
        return sum(sequence["frames"] for name in names for sequence in self._sequences[name])

    def add(self, record: WorldRecord) -> None:
        """Note that a world is finished, and write the file."""
        spec = record.spec
        self._worlds[spec.name] = {
            "name": spec.name,
            "source": Path(spec.source).name,
            "seed": spec.seed,
            "split": spec.split,
            "rooms": record.rooms,
            "free_floor_m2": record.free_floor_m2,
            "skipped": record.skipped,
        }
        self._sequences[spec.name] = [sequence.to_dict() for sequence in record.sequences]
        self.write()

    def write(self) -> None:
        """Write the file: the old one stays until the new one is whole.

        Raises:
            DatasetError: the disk refuses.
        """
        names = [name for name in self._order if name in self._worlds]
        content = {
            "program": f"reloc_ros {__version__}",
            "complete": len(names) == len(self._order),
            "images": self.images(),
            "settings": self._settings,
            "worlds": [self._worlds[name] for name in names],
            "sequences": [sequence for name in names for sequence in self._sequences[name]],
        }
        whole = self._path.with_suffix(".json.new")
        try:
            whole.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            whole.replace(self._path)
            if content["complete"] and (self._out / PARTIAL).exists():
                (self._out / PARTIAL).rmdir()
        except OSError as error:
            raise DatasetError(
                f"cannot write {self._path}: {error}; free some space or choose another folder"
            ) from error
