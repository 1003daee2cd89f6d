"""How colcon and pip build and install the package."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "reloc_ros"


def data_files() -> list[tuple[str, list[str]]]:
    """Return (target folder, files) pairs; the sub-folders of launch/, config/, models/ and rviz/ are kept."""
    share = Path("share") / PACKAGE
    targets = {
        "share/ament_index/resource_index/packages": [f"resource/{PACKAGE}"],
        str(share): ["package.xml", "LICENSE"],
    }
    for top in ("launch", "config", "models", "rviz"):
        for path in sorted(Path(top).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                targets.setdefault(str(share / path.parent), []).append(str(path))
    return list(targets.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Visual relocalization: one camera image in, the pose of the camera in a learned map out",
    license="Apache-2.0",
    author="reloc_ros maintainers",
    author_email="maintainers@example.org",
    maintainer="reloc_ros maintainers",
    maintainer_email="maintainers@example.org",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=data_files(),
    zip_safe=False,
    install_requires=[
        "setuptools",
        "matplotlib",
        "numpy>=1.21",
        "onnxruntime>=1.16",
        "opencv-python-headless>=4.5,<5",
        "pyyaml",
        "rich",
        "rosbags>=0.10",
        "scipy>=1.8",
    ],
    extras_require={
        "baseline": ["pycolmap>=4.2"],
        "text": ["tokenizers"],
        "demo": ["embreex", "pillow", "trimesh>=4"],
        "train": ["h5py", "onnx", "onnxscript", "torch>=2.4", "transformers>=5.20"],
        "trt": ["cuda-bindings>=12.6; sys_platform == 'linux'", "onnx"]
        + [
            f"tensorrt-rtx-cu13-{part}; platform_machine == 'x86_64' and sys_platform == 'linux'"
            for part in ("bindings", "libs")
        ],
        "test": ["colcon-common-extensions", "colcon-ros", "evo>=1.38", "hypothesis", "pytest", "pytest-timeout"],
        "lint": ["mypy", "ruff", "types-PyYAML"],
    },
    entry_points={
        "console_scripts": [
            f"reloc = {PACKAGE}.cli.main:main",
            f"relocalizer_node = {PACKAGE}.node.relocalizer_node:main",
        ],
    },
)
