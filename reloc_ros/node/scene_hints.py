"""What an operator says about the scene, on its way to the localizer."""

from __future__ import annotations

import logging
from threading import Lock

from std_msgs.msg import String

from reloc_ros.errors import ConfigError
from reloc_ros.node.model import FrameLocalizer
from reloc_ros.node.statistics import Statistics

_log = logging.getLogger(__name__)


class SceneHints:
    """Hands sentences to the localizer; the latest one waits while the model is being loaded.

    Args:
        statistics: keeps the hint in force and its answer, for diagnostics.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._lock = Lock()
        self._localizer: FrameLocalizer | None = None
        self._waiting: str | None = None

    def take(self, message: String) -> None:
        """Use a sentence, or keep it for a model that is not there yet."""
        with self._lock:
            if self._localizer is None:
                self._waiting = message.data
                self._statistics.hinted("", f"'{message.data}' waits for the model")
            else:
                self._hint(self._localizer, message.data)

    def serve(self, localizer: FrameLocalizer) -> None:
        """Give this localizer the sentence that waits, and every one from now on."""
        with self._lock:
            self._localizer = localizer
            if self._waiting is not None:
                self._hint(localizer, self._waiting)

    def _hint(self, localizer: FrameLocalizer, sentence: str) -> None:
        try:
            answer = localizer.hint_scene(sentence)
        except ConfigError as error:
            answer = f"refused: {error}"
            _log.warning("scene hint %s", answer)
        self._statistics.hinted(localizer.scene_hint, answer)
