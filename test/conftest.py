"""Fixtures that tests of several packages share."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
# Fast DDS derives its ports from the domain; above 101 they reach into the ports Linux hands out to anyone.
DOMAIN_IDS = range(1, 102)

# Set before any test imports a ROS module, so that no test ever talks to another machine.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images, bags and worlds: $RELOC_TEST_DATA, else `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("RELOC_TEST_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"test data folder {folder} is missing; set RELOC_TEST_DATA to use another one")
    return folder


@pytest.fixture(scope="module")
def ros_domain_id() -> Iterator[int]:
    """A DDS domain that no other test run of this user has, in the environment of this module's tests too."""
    for number in DOMAIN_IDS:
        with contextlib.ExitStack() as stack:
            try:
                path = Path(tempfile.gettempdir()) / f"reloc_ros_domain_{os.getuid()}_{number}.lock"
                fcntl.flock(stack.enter_context(path.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("ROS_DOMAIN_ID", str(number))
            yield number
            return
    pytest.fail(f"all {len(DOMAIN_IDS)} DDS domains are taken; end the other test runs on this machine")
