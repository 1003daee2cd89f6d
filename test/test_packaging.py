"""What colcon installs, and whether the package's own descriptions agree with each other and with the code."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import reloc_ros

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "reloc_ros"
DATA_FOLDERS = ("launch", "config", "models", "rviz")

# How what the code imports is called in package.xml (rosdep) and on PyPI; None: not asked of that side.
THIRD_PARTY = {
    "cv2": ("python3-opencv", "opencv-python-headless"),
    "matplotlib": ("python3-matplotlib", "matplotlib"),
    "numpy": ("python3-numpy", "numpy"),
    "rich": ("python3-rich", "rich"),
    "scipy": ("python3-scipy", "scipy"),
    "yaml": ("python3-yaml", "pyyaml"),
    "onnxruntime": (None, "onnxruntime"),
    "rosbags": (None, "rosbags"),
    "embreex": (None, "embreex"),
    "PIL": (None, "pillow"),
    "pycolmap": (None, "pycolmap"),
    "tokenizers": (None, "tokenizers"),
    "trimesh": (None, "trimesh"),
    "onnx": (None, "onnx"),
    "onnxscript": (None, "onnxscript"),
    "torch": (None, "torch"),
    "h5py": (None, "h5py"),
    "transformers": (None, "transformers"),
}
# Needed without an import in the package: by launch files, and by `reloc play`, which publishes what a bag holds.
NOT_IMPORTED = {"launch", "launch_ros", "nav_msgs", "rosgraph_msgs", "std_msgs"}


def is_ros(module: str) -> bool:
    ros = {"rclpy", "tf2_ros", "bondpy", "cv_bridge", "ament_index_python"}
    return module in ros or module.endswith(("_msgs", "_srvs", "_interfaces"))


@pytest.fixture(scope="module")
def manifest() -> ET.Element:
    return ET.parse(CHECKOUT / "package.xml").getroot()


@pytest.fixture(scope="module")
def install_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installation of the package: the one $RELOC_COLCON_INSTALL names, else one that colcon builds now."""
    ready = os.environ.get("RELOC_COLCON_INSTALL")
    if ready:
        root = Path(ready) / "reloc_ros"
        assert root.is_dir(), f"RELOC_COLCON_INSTALL={ready} holds no reloc_ros; unset it or run colcon build first"
        return root
    colcon = Path(sys.executable).with_name("colcon")
    command = str(colcon) if colcon.is_file() else shutil.which("colcon")
    if command is None:
        pytest.skip("colcon is not installed; make setup-test installs it")
    work = tmp_path_factory.mktemp("colcon")
    done = subprocess.run(
        [
            *(command, "--log-base", str(work / "log"), "build", "--base-paths", str(CHECKOUT)),
            *("--build-base", str(work / "build"), "--install-base", str(work / "install")),
            *("--packages-select", "reloc_ros"),
        ],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "install" / "reloc_ros"


@pytest.fixture(scope="module")
def site_packages(install_root: Path) -> Path:
    (found,) = (path.parent for path in install_root.glob("**/*-packages/reloc_ros"))
    return found


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }


def run_installed(arguments: list[str], site_packages: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site_packages)}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_all_modules_of_all_sub_packages_are_installed(site_packages: Path):
    installed = files_below(site_packages / "reloc_ros")
    assert installed == files_below(PACKAGE)
    # A literal, so that a comparison of two empty sets cannot pass.
    assert {"types.py", "node/relocalizer_node.py", "localization/solve/__init__.py", "py.typed"} <= installed


def test_nothing_else_is_installed_as_a_package(site_packages: Path):
    tops = {path.name for path in site_packages.iterdir() if path.suffix not in {".egg-info", ".dist-info", ".pth"}}
    assert {name for name in tops if name != "__pycache__" and "egg-info" not in name} == {"reloc_ros"}


@pytest.mark.parametrize("folder", DATA_FOLDERS)
def test_data_folders_keep_their_sub_folders(install_root: Path, folder: str):
    source = files_below(CHECKOUT / folder)
    assert source, f"{folder}/ is empty or missing in the checkout"
    assert files_below(install_root / "share" / "reloc_ros" / folder) == source


def test_files_in_sub_folders_are_where_the_program_looks(install_root: Path):
    share = install_root / "share" / "reloc_ros"
    for name in (
        "launch/reloc.launch.py",
        "launch/nav2_localization.launch.py",
        "launch/amcl_initializer.launch.py",
        "config/nav2_localization.yaml",
        "rviz/reloc.rviz",
        "config/reloc.yaml",
        "config/train/implicit_geometry.yaml",
        "models/README.md",
    ):
        assert (share / name).is_file(), name


def test_ament_finds_the_package(install_root: Path):
    share = install_root / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "reloc_ros").is_file()
    assert (share / "reloc_ros" / "package.xml").read_text() == (CHECKOUT / "package.xml").read_text()
    assert (share / "reloc_ros" / "LICENSE").is_file()


@pytest.mark.parametrize("name", ["reloc", "relocalizer_node"])
def test_ros2_run_finds_an_executable(install_root: Path, name: str):
    script = install_root / "lib" / "reloc_ros" / name
    assert script.is_file()
    assert os.access(script, os.X_OK)


def test_the_installed_command_runs(install_root: Path, site_packages: Path, tmp_path: Path):
    script = install_root / "lib" / "reloc_ros" / "reloc"
    done = run_installed([str(script), "--help"], site_packages, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "inspect" in done.stdout


def test_entry_points_lead_to_functions(site_packages: Path, tmp_path: Path):
    (table,) = site_packages.glob("reloc_ros-*info/entry_points.txt")
    parser = configparser.ConfigParser()
    parser.read(table)
    assert dict(parser["console_scripts"]) == {
        "reloc": "reloc_ros.cli.main:main",
        "relocalizer_node": "reloc_ros.node.relocalizer_node:main",
    }
    program = "import reloc_ros, reloc_ros.cli.main as m; assert callable(m.main); print(reloc_ros.__file__)"
    done = run_installed(["-c", program], site_packages, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(site_packages)


def test_the_installed_node_has_its_main(site_packages: Path, tmp_path: Path):
    pytest.importorskip("rclpy", reason="rclpy is not installed; make setup installs it")
    program = "from reloc_ros.node.relocalizer_node import main; assert callable(main)"
    done = run_installed(["-c", program], site_packages, tmp_path)
    assert done.returncode == 0, done.stderr


def test_package_xml_is_format_3_of_an_ament_python_package(manifest: ET.Element):
    assert (manifest.tag, manifest.get("format")) == ("package", "3")
    assert manifest.findtext("name") == "reloc_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("license") == "Apache-2.0"
    maintainer = manifest.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", maintainer.get("email", ""))
    assert "Apache License" in (CHECKOUT / "LICENSE").read_text()


def test_the_version_is_the_same_everywhere(manifest: ET.Element, site_packages: Path):
    version = manifest.findtext("version")
    assert version == reloc_ros.__version__
    (information,) = site_packages.glob("reloc_ros-*info/PKG-INFO")
    assert f"\nVersion: {version}\n" in information.read_text()
    assert re.search(rf"^{re.escape(str(version))} \(", (CHECKOUT / "CHANGELOG.rst").read_text(), re.MULTILINE)


def imported_packages() -> set[str]:
    """Return the top-level names of everything the package imports that Python does not bring along."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"reloc_ros"}


def test_every_import_is_declared_for_rosdep(manifest: ET.Element):
    declared = {element.text for element in manifest.findall("exec_depend")}
    imported = imported_packages()
    unknown = {name for name in imported if not is_ros(name)} - set(THIRD_PARTY)
    assert not unknown, f"say in THIRD_PARTY what {unknown} is called in rosdep and on PyPI"
    wanted = {name for name in imported if is_ros(name)}
    wanted |= {THIRD_PARTY[name][0] for name in imported if name in THIRD_PARTY and THIRD_PARTY[name][0]}
    assert wanted - declared == set()
    assert declared - wanted - NOT_IMPORTED == set(), "declared, but imported nowhere"


def test_every_import_is_declared_for_pip_and_pinned(site_packages: Path):
    (information,) = site_packages.glob("reloc_ros-*info/PKG-INFO")
    lines = re.findall(r"^Requires-Dist: ([\w.-]+)(?:\[\w+\])?([^\n]*)$", information.read_text(), re.MULTILINE)
    required = {normalized(name): rest for name, rest in lines}
    third_party = {THIRD_PARTY[name][1] for name in imported_packages() if name in THIRD_PARTY}
    assert third_party - set(required) == set()

    pins = {
        normalized(name)
        for name in re.findall(r"^([\w.-]+)==", (CHECKOUT / "constraints.txt").read_text(), re.MULTILINE)
    }
    optional = {name for name, rest in required.items() if 'extra == "trt"' in rest}
    assert set(required) - optional - pins == set()
    from_ros = (CHECKOUT / "ros_from_pip" / "requirements.txt").read_text()
    assert {normalized(name) for name in re.findall(r"^([\w-]+)", from_ros, re.MULTILINE)} - pins == set()


def test_the_core_does_not_ask_for_torch(site_packages: Path):
    (information,) = site_packages.glob("reloc_ros-*info/PKG-INFO")
    requirements = re.findall(r"^Requires-Dist: (torch.*)$", information.read_text(), re.MULTILINE)
    assert requirements
    assert all("extra ==" in requirement for requirement in requirements)


def normalized(name: str) -> str:
    """Return a distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
