"""Who may import whom: the layers of CONVENTIONS.md, read from the sources and tried in fresh interpreters."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "reloc_ros"

CORE = {"types", "errors", "geometry", "cameras", "bundle", "inference", "localization", "scenes"}
MAY_IMPORT = {
    "errors": set(),
    "types": {"errors"},
    "geometry": {"types", "errors"},
    "cameras": {"types", "errors", "geometry"},
    "bundle": {"types", "errors", "scenes"},
    "inference": {"types", "errors", "bundle"},
    "localization": CORE,
    "scenes": {"types", "errors"},
    "datasets": {"types", "errors", "geometry", "cameras"},
    "synthetic": {"types", "errors", "geometry", "cameras", "datasets"},
    "networks": {"types", "errors"},
    "training": CORE | {"datasets", "networks"},
    "export": CORE | {"networks", "training"},
    "evaluation": CORE | {"datasets"},
    "node": CORE,
    "benchmark": CORE | {"networks", "training", "export"},
    "mapping": CORE | {"datasets", "synthetic", "networks", "training", "export", "evaluation"},
    "cli": CORE
    | {"datasets", "synthetic", "networks", "training", "export", "evaluation", "mapping", "benchmark", "node"},
    "__main__": {"cli"},
    "__init__": set(),
}
# The one file that carries a network into inference: it stands for the exported graph and is imported on demand only.
EXCEPTIONS = {("inference/torch_backend.py", "networks")}

TORCH_FILES = ("networks/", "training/", "export/", "inference/torch_backend.py")
ROS_FILES = ("node/",)
ROS_MODULES = (
    "rclpy",
    "tf2_ros",
    "tf2_py",
    "cv_bridge",
    "ament_index_python",
    "launch",
    "launch_ros",
    "rosidl_runtime_py",
)


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str
    line: int
    module: str
    for_types_only: bool

    def __str__(self) -> str:
        return f"reloc_ros/{self.file}:{self.line} imports {self.module}"


def imports_of(path: Path) -> Iterator[Import]:
    """Yield every import in a file, at the top or inside a function."""
    tree = ast.parse(path.read_text())
    type_only = {
        id(child)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in block.body
        for child in ast.walk(statement)
    }
    file = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            whole = node.module == "reloc_ros"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if whole else [str(node.module)]
        else:
            continue
        yield from (Import(file, node.lineno, name, id(node) in type_only) for name in names)


def all_imports() -> list[Import]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]


def layer(file: str) -> str:
    return file.split("/", maxsplit=1)[0].removesuffix(".py")


def is_message_package(module: str) -> bool:
    top = module.split(".", maxsplit=1)[0]
    return top in ROS_MODULES or top.endswith(("_msgs", "_srvs", "_interfaces"))


def test_every_package_has_its_place_in_the_table():
    here = {layer(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")}
    assert here == set(MAY_IMPORT)


def test_packages_import_only_the_layers_below():
    faults = []
    for found in all_imports():
        parts = found.module.split(".")
        if parts[0] != "reloc_ros" or len(parts) < 2 or found.for_types_only:
            continue
        source, target = layer(found.file), parts[1]
        allowed = MAY_IMPORT[source] | {source, "__version__"}
        if target not in allowed and (found.file, target) not in EXCEPTIONS:
            faults.append(str(found))
    assert not faults


def test_nobody_imports_the_command_line_even_for_types():
    faults = [
        str(found)
        for found in all_imports()
        if found.module.startswith("reloc_ros.cli") and layer(found.file) not in {"cli", "__main__"}
    ]
    assert not faults


def test_torch_stays_where_networks_are_trained_and_exported():
    faults = [
        str(found)
        for found in all_imports()
        if found.module.split(".")[0] == "torch" and not found.file.startswith(TORCH_FILES)
    ]
    assert not faults


def test_only_the_node_imports_ros():
    faults = [
        str(found)
        for found in all_imports()
        if is_message_package(found.module) and not found.file.startswith(ROS_FILES)
    ]
    assert not faults


def test_files_stay_readable_in_one_go():
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    too_long = {str(path.relative_to(CHECKOUT)): lines for path, lines in lengths.items() if lines > 400}
    assert not too_long


def modules(*, of: set[str]) -> list[str]:
    """Return the dotted names of all modules of some layers."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(CHECKOUT)
        if layer(path.relative_to(PACKAGE).as_posix()) in of and path.name != "__main__.py":
            names.append(".".join(relative.with_suffix("").parts).removesuffix(".__init__"))
    return names


def import_in_fresh_interpreter(names: list[str], *, blocked: tuple[str, ...]) -> set[str]:
    """Import modules while others cannot be imported; return the top-level names that were loaded."""
    program = f"""
import importlib, importlib.abc, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in {blocked!r} or any(top.endswith(end) for end in {blocked!r} if end.startswith("_")):
            raise ModuleNotFoundError(f"{{name}} is blocked by the test", name=name)

sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    importlib.import_module(name)
print("LOADED", *sorted({{name.split(".")[0] for name in sys.modules}}))
"""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("LOADED", 1)[1].split())


ROS_BLOCKED = (*ROS_MODULES, "_msgs", "_srvs", "_interfaces")
NEEDS_TORCH = {"networks", "training", "export"}


def test_everything_but_the_node_runs_without_ros_and_torch():
    names = [
        name
        for name in modules(of=set(MAY_IMPORT) - NEEDS_TORCH - {"node"})
        if name != "reloc_ros.inference.torch_backend"
    ]
    loaded = import_in_fresh_interpreter(names, blocked=(*ROS_BLOCKED, "torch"))
    assert "reloc_ros" in loaded


def test_training_runs_without_ros():
    pytest.importorskip("torch", reason="torch is not installed; make setup-test installs it")
    names = [*modules(of=NEEDS_TORCH), "reloc_ros.inference.torch_backend"]
    assert "torch" in import_in_fresh_interpreter(names, blocked=ROS_BLOCKED)


def test_the_node_runs_without_torch():
    pytest.importorskip("rclpy", reason="rclpy is not installed; make setup installs it")
    loaded = import_in_fresh_interpreter(modules(of={"node"}), blocked=())
    assert "rclpy" in loaded
    assert "torch" not in loaded
