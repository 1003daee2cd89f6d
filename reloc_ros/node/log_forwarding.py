"""The core logs with `logging`; this hands its records to the node's own logger, and so to /rosout."""

from __future__ import annotations

import logging
from typing import Any

_CORE = "reloc_ros"


class RosLogHandler(logging.Handler):
    """Forwards records to a ROS logger of the same severity.

    Args:
        logger: `node.get_logger()`.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def attach(self) -> None:
        """Begin to forward what the core logs, from the severity that the ROS logger shows."""
        core = logging.getLogger(_CORE)
        core.addHandler(self)
        core.setLevel(int(self._logger.get_effective_level()))  # both count 10, 20, 30 ... from debug on

    def detach(self) -> None:
        """Stop forwarding."""
        logging.getLogger(_CORE).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        text = self.format(record)
        # One call site for each severity: rclpy refuses a call site that changes its severity.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)
