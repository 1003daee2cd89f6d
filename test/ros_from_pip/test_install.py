"""The installer leaves real ROS installations alone, repeats itself harmlessly and says what is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "ros_from_pip"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ros_from_pip_{name}", SOURCES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclass looks its own module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment that the installer takes for its own."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    return tmp_path / "env"


def layout_with(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_nothing_is_installed_where_ros_is():
    program = "import sys; sys.path.insert(0, sys.argv[1]); import install; sys.exit(install.main())"
    environment = {**os.environ, "ROS_DISTRO": "jazzy", "PYTHONPATH": str(SOURCES / "overlay")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(SOURCES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to install" in done.stdout
    assert "jazzy" in done.stdout


def test_what_a_former_version_left_is_removed(prefix: Path, tmp_path: Path):
    installer = load("install")
    site = prefix / "lib" / "python3" / "site-packages"
    old = layout_with(tmp_path / "old", "site/tf2_ros/__init__.py", "site/tf2_ros/gone.py", "lib/libgone.so")
    installer.install(old, site, "digest of the old sources")
    assert (prefix / "lib" / "libgone.so").is_file()

    new = layout_with(tmp_path / "new", "site/tf2_ros/__init__.py", "lib/libnew.so", "share/tf2_msgs/package.xml")
    installer.install(new, site, "digest of the new sources")
    found = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    info = "lib/python3/site-packages/ros_from_pip-1.0.0.dist-info"
    assert found == {
        "lib/libnew.so",
        "share/tf2_msgs/package.xml",
        "lib/python3/site-packages/tf2_ros/__init__.py",
        *(f"{info}/{name}" for name in ("METADATA", "INSTALLER", "RECORD", "SOURCES.sha256")),
    }
    assert (prefix / info / "SOURCES.sha256").read_text() == "digest of the new sources"
    assert "../../libnew.so,sha256=" in (prefix / info / "RECORD").read_text()


def test_a_missing_compiler_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    builder = load("build_messages")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(builder.BuildError, match=r"no gcc found.*build-essential"):
        builder.build(tmp_path)


def test_missing_python_headers_are_named_with_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    builder = load("build_messages")
    monkeypatch.setattr(builder.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setattr(builder.shutil, "which", lambda name: name)
    with pytest.raises(builder.BuildError, match="python3-dev"):
        builder.build(tmp_path)
