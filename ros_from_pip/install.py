"""Install what the ROS wheels of PyPI lack into this interpreter's environment: tf2_msgs, tf2_ros, cv_bridge.

    .venv/bin/python ros_from_pip/install.py

Does nothing on a machine with a real ROS 2 installation, and nothing when the same sources are installed already.
`pip uninstall ros-from-pip` removes all of it again.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DISTRIBUTION = "ros_from_pip"
VERSION = "1.0.0"
STAMP = "SOURCES.sha256"
PYTHON_PACKAGES = ("tf2_py", "tf2_ros", "cv_bridge")


def main() -> int:
    """Build and install the overlay; return the exit code."""
    site = Path(sysconfig.get_paths()["platlib"])
    if has_real_ros(site):
        print(f"ros_from_pip: ROS 2 {os.environ['ROS_DISTRO']} offers tf2_ros, nothing to install")
        return 0
    if sys.prefix == sys.base_prefix:
        print("ros_from_pip: this is not a virtual environment; run it with the interpreter of one", file=sys.stderr)
        return 1
    digest = sources_digest()
    stamp = site / f"{DISTRIBUTION}-{VERSION}.dist-info" / STAMP
    if stamp.is_file() and stamp.read_text() == digest:
        print("ros_from_pip: up to date")
        return 0
    sys.path.insert(0, str(HERE))
    from build_messages import BuildError, build

    try:
        with tempfile.TemporaryDirectory(prefix="ros_from_pip_") as work:
            layout = build(Path(work))
            for name in PYTHON_PACKAGES:
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(HERE / "overlay" / name, layout / "site" / name, ignore=ignore)
            install(layout, site, digest)
    except BuildError as error:
        print(f"ros_from_pip: {error}", file=sys.stderr)
        return 1
    print(f"ros_from_pip: installed tf2_msgs, {', '.join(PYTHON_PACKAGES)} into {sys.prefix}")
    return 0


def has_real_ros(site: Path) -> bool:
    """Tell whether a sourced ROS 2 installation offers tf2_ros, that is, one that does not lie in `site`."""
    if not os.environ.get("ROS_DISTRO"):
        return False
    spec = importlib.util.find_spec("tf2_ros")
    return spec is not None and spec.origin is not None and site not in Path(spec.origin).parents


def sources_digest() -> str:
    """Return a digest of the sources here and of the interpreter and ROS wheels they are built against."""
    digest = hashlib.sha256(f"{sys.version}\n{sys.prefix}\n".encode())
    for path in sorted(HERE.rglob("*.py")):
        digest.update(str(path.relative_to(HERE)).encode() + path.read_bytes())
    wheels = Path(sysconfig.get_paths()["platlib"]).glob("ros_*.dist-info")
    digest.update("\n".join(sorted(path.name for path in wheels if DISTRIBUTION not in path.name)).encode())
    return digest.hexdigest()


def install(layout: Path, site: Path, digest: str) -> None:
    """Copy the built layout below `sys.prefix` with a dist-info that lets pip list and remove it."""
    remove_previous(site)
    roots = {"site": site, "lib": Path(sys.prefix) / "lib", "share": Path(sys.prefix) / "share"}
    info = layout / "site" / f"{DISTRIBUTION}-{VERSION}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {DISTRIBUTION.replace('_', '-')}\nVersion: {VERSION}\n"
    )
    (info / "INSTALLER").write_text(f"{DISTRIBUTION}\n")
    rows = []
    # The stamp goes last: an interrupted installation must not look finished.
    for folder, root in roots.items():
        for source in sorted(path for path in (layout / folder).rglob("*") if path.is_file()):
            target = root / source.relative_to(layout / folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            rows.append(record_row(target, site))
    stamp = site / info.name / STAMP
    record = site / info.name / "RECORD"
    rows += [f"{os.path.relpath(stamp, site)},,", f"{os.path.relpath(record, site)},,"]
    record.write_text("\n".join(rows) + "\n")
    stamp.write_text(digest)


def remove_previous(site: Path) -> None:
    """Delete every file that an earlier installation recorded."""
    for info in site.glob(f"{DISTRIBUTION}-*.dist-info"):
        record = info / "RECORD"
        names = [line.split(",")[0] for line in record.read_text().splitlines()] if record.is_file() else []
        for name in names:
            (site / name).unlink(missing_ok=True)
        shutil.rmtree(info, ignore_errors=True)


def record_row(path: Path, site: Path) -> str:
    """Return the line of a wheel's RECORD for an installed file."""
    data = path.read_bytes()
    checksum = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{os.path.relpath(path, site)},sha256={checksum},{len(data)}"


if __name__ == "__main__":
    raise SystemExit(main())
