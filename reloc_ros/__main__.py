"""`python -m reloc_ros` is the `reloc` command."""

from __future__ import annotations

import sys

from reloc_ros.cli.main import main

sys.exit(main())
