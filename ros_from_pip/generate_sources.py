"""Run each rosidl generator of the ROS wheels on one message, each into a folder of its own.

A program of its own, started by `build_messages`: empy takes over the standard output of the process it runs in.

    python generate_sources.py PACKAGE MESSAGE_FILE FOLDER DEPENDENCY...

The C and the introspection generator both write `<message>__type_support.c`, and both files are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rosidl_generator_c.cli import GenerateC
from rosidl_generator_py.cli import GeneratePython
from rosidl_typesupport_c.cli import GenerateCTypesupport
from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

GENERATORS = {
    "c": GenerateC,
    "py": GeneratePython,
    "typesupport_c": GenerateCTypesupport,
    "fastrtps_c": GenerateFastRTPSCTypesupport,
    "introspection_c": GenerateIntrospectionCTypesupport,
}


def main(package: str, message_file: str, folder: str, *dependencies: str) -> None:
    """Write FOLDER/<generator>/PACKAGE/... for each generator."""
    definition = Path(message_file)
    interface = f"{definition.parents[1]}:msg/{definition.name}"
    includes = [str(Path(sys.prefix) / "share" / name) for name in dependencies]
    for name, generator in GENERATORS.items():
        output = Path(folder) / name / package
        output.mkdir(parents=True)
        generator(name).generate(package, [interface], includes, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
