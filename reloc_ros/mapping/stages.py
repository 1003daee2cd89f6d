"""Stages that are done once: each leaves a file with a digest of what it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reloc_ros.errors import DatasetError


class Stages:
    """The stages of one work folder, in order; each depends on those before it.

    A stage whose inputs are those of its file is not run again. A stage that was killed is run again over what it left,
    which may resume it; when the inputs have changed, what it left is removed first.

    Args:
        folder: work folder; made if it is missing.
        tell: gets a line about each stage.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._before = ""
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self, name: str, inputs: dict[str, Any], outputs: Sequence[Path], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what `make` returned, now or in an earlier run.

        Args:
            name: of the stage and its file.
            inputs: what the result depends on besides the stages before, for JSON.
            outputs: files and folders that it writes; those inside the work folder are its own and may be removed.
            make: does the work.
        """
        digest = self._before = _digest([name, self._before, inputs])
        path = self._folder / f"{name}.stage.json"
        known = _read(path)
        if known.get("digest") == digest and known.get("done") and all(output.exists() for output in outputs):
            self._tell(f"{name}: done before")
            return dict(known["result"])
        if known.get("digest") != digest:
            self._remove(outputs)
        self._tell(f"{name}: {'goes on' if known.get('digest') == digest else 'starts'}")
        _write(path, {"digest": digest, "done": False, "inputs": inputs})
        result = make()
        _write(path, {"digest": digest, "done": True, "inputs": inputs, "result": result})
        return result

    def _remove(self, outputs: Sequence[Path]) -> None:
        for output in outputs:
            if self._folder not in output.parents:
                continue
            if output.is_dir():
                shutil.rmtree(output)
            else:
                output.unlink(missing_ok=True)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"stage file {path} cannot be read ({error}); start over with --restart") from error


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
