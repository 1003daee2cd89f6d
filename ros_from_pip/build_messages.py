"""Generate and compile `tf2_msgs/msg/TFMessage` with the rosidl generators of the ROS wheels.

The result is laid out as it lands below `sys.prefix`: `lib/*.so`, `site/tf2_msgs`, `share/tf2_msgs` and the package's
entry in the ament index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGE = "tf2_msgs"
VERSION = "0.36.0"
DEFINITION = "geometry_msgs/TransformStamped[] transforms\n"
GENERATE = Path(__file__).with_name("generate_sources.py")
GENERATORS = ("c", "py", "typesupport_c", "fastrtps_c", "introspection_c")
DEPENDENCIES = ("geometry_msgs", "std_msgs", "builtin_interfaces")
TYPESUPPORTS = ("rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
PACKAGE_XML = f"""<?xml version="1.0"?>
<package format="3">
  <name>{PACKAGE}</name>
  <version>{VERSION}</version>
  <description>The TFMessage interface, built for a machine without ROS.</description>
  <maintainer email="maintainers@example.org">reloc_ros maintainers</maintainer>
  <license>BSD-3-Clause</license>
  <depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
</package>
"""


class BuildError(Exception):
    """The messages cannot be built here; the text says what is missing and how to get it."""


@dataclass(frozen=True)
class Library:
    """One shared object: where it goes, what it is made of and which of our own libraries it needs."""

    target: str
    sources: tuple[Path, ...]
    needs: tuple[str, ...] = ()
    rpath: str = "$ORIGIN"

    @property
    def compiler(self) -> str:
        """Name of the compiler driver for these sources."""
        return "g++" if any(source.suffix == ".cpp" for source in self.sources) else "gcc"


def build(work: Path) -> Path:
    """Generate and compile the messages below `work` and return the folder that holds the finished layout.

    Raises:
        BuildError: a compiler, a header or a generator is missing, or the compiler refuses a file.
    """
    _check_tools()
    folders = _generate(work / "generated")
    layout = work / "layout"
    for folder in ("lib", f"site/{PACKAGE}"):
        (layout / folder).mkdir(parents=True)
    for stage in _libraries(folders):
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(lambda library: _link(library, folders, layout), stage))
    _add_python_and_index(folders, layout)
    return layout


def _check_tools() -> None:
    for compiler in ("gcc", "g++"):
        if shutil.which(compiler) is None:
            raise BuildError(f"no {compiler} found in PATH; install it (Debian/Ubuntu: apt install build-essential)")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise BuildError(f"{header} is missing; install Python's headers (Debian/Ubuntu: apt install python3-dev)")


def _generate(work: Path) -> dict[str, Path]:
    """Write the message definition, run the generators on it and return generator -> its folder of sources."""
    definition = work / "definition" / "msg" / "TFMessage.msg"
    definition.parent.mkdir(parents=True)
    definition.write_text(DEFINITION)
    command = [sys.executable, str(GENERATE), PACKAGE, str(definition), str(work), *DEPENDENCIES]
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(
            f"the rosidl generators failed; install ros_from_pip/requirements.txt into {sys.prefix}:\n"
            f"{done.stderr[-4000:]}"
        )
    return {name: work / name / PACKAGE for name in GENERATORS}


def _libraries(folders: dict[str, Path]) -> tuple[tuple[Library, ...], ...]:
    """Return the libraries in stages; a stage needs only the stages before it."""
    detail = folders["c"] / "msg" / "detail"
    generator_c = "rosidl_generator_c"
    introspection = folders["introspection_c"] / "msg" / "detail" / "tf_message__type_support.c"
    fastrtps = folders["fastrtps_c"] / "msg" / "detail" / "tf_message__type_support_c.cpp"
    dispatch = folders["typesupport_c"] / "msg" / "tf_message__type_support.cpp"
    first = Library(f"lib/lib{PACKAGE}__{generator_c}.so", tuple(sorted(detail.glob("*.c"))))
    implementations = (
        Library(f"lib/lib{PACKAGE}__rosidl_typesupport_introspection_c.so", (introspection,), (generator_c,)),
        Library(f"lib/lib{PACKAGE}__rosidl_typesupport_fastrtps_c.so", (fastrtps,), (generator_c,)),
        Library(f"lib/lib{PACKAGE}__rosidl_typesupport_c.so", (dispatch,), (generator_c,)),
    )
    conversion = Library(
        f"lib/lib{PACKAGE}__rosidl_generator_py.so",
        (folders["py"] / "msg" / "_tf_message_s.c",),
        (generator_c, "rosidl_typesupport_c"),
    )
    up_to_lib = os.path.relpath(Path(sys.prefix) / "lib", Path(sysconfig.get_paths()["platlib"]) / PACKAGE)
    modules = tuple(
        Library(
            f"site/{PACKAGE}/{PACKAGE}_s__{name}.so",
            (folders["py"] / f"_{PACKAGE}_s.ep.{name}.c",),
            ("rosidl_generator_py", generator_c, *dict.fromkeys((name, "rosidl_typesupport_c"))),
            f"$ORIGIN/{up_to_lib}",
        )
        for name in TYPESUPPORTS
    )
    return (first,), implementations, (conversion,), modules


def _link(library: Library, folders: dict[str, Path], layout: Path) -> None:
    prefix = Path(sys.prefix)
    kind = next((kind for kind in TYPESUPPORTS if library.target.endswith(f"{kind}.so")), "rosidl_generator_c")
    wheel_libraries = [f"{name}__rosidl_generator_c" for name in DEPENDENCIES]
    wheel_libraries += [f"{name}__{kind}" for name in DEPENDENCIES if kind in TYPESUPPORTS]
    if "generator_py" in library.target:
        wheel_libraries += [f"{name}__rosidl_generator_py" for name in DEPENDENCIES]
    wheel_libraries += ["rosidl_runtime_c", "rcutils", "rmw", "rosidl_typesupport_c", "rcpputils"]
    wheel_libraries += ["rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp"]
    wheel_libraries += ["rosidl_typesupport_introspection_c"]
    fastcdr = next(iter(sorted((prefix / "lib").glob("libfastcdr.so*"))), None)
    command = [
        library.compiler,
        "-shared",
        "-fPIC",
        "-O2",
        "-w",
        *(f"-I{folder.parent}" for folder in folders.values()),
        *(f"-I{folder}" for folder in sorted((prefix / "include").iterdir()) if folder.is_dir()),
        f"-I{prefix / 'include'}",
        f"-I{sysconfig.get_paths()['include']}",
        f"-I{np.get_include()}",
        *(str(source) for source in library.sources),
        f"-L{layout / 'lib'}",
        *(f"-l{PACKAGE}__{name}" for name in library.needs),
        f"-L{prefix / 'lib'}",
        "-Wl,--as-needed",
        *(f"-l{name}" for name in wheel_libraries),
        *([str(fastcdr)] if fastcdr else []),
        f"-Wl,-rpath,{library.rpath}",
        "-o",
        str(layout / library.target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{library.compiler} failed on {library.target}:\n{done.stderr[-4000:]}")


def _add_python_and_index(folders: dict[str, Path], layout: Path) -> None:
    site = layout / "site" / PACKAGE
    (site / "__init__.py").touch()
    shutil.copytree(folders["py"] / "msg", site / "msg", ignore=shutil.ignore_patterns("*.c"))
    share = layout / "share" / PACKAGE
    (share / "msg").mkdir(parents=True)
    for source in (
        folders["c"].parents[1] / "definition" / "msg" / "TFMessage.msg",
        folders["c"] / "tmp" / "msg" / "TFMessage.idl",
        folders["c"] / "msg" / "TFMessage.json",
    ):
        shutil.copy(source, share / "msg")
    (share / "package.xml").write_text(PACKAGE_XML)
    index = layout / "share" / "ament_index" / "resource_index"
    for resource, content in (
        ("packages", ""),
        ("rosidl_interfaces", "msg/TFMessage.idl\nmsg/TFMessage.json\nmsg/TFMessage.msg\n"),
    ):
        (index / resource).mkdir(parents=True)
        (index / resource / PACKAGE).write_text(content)
