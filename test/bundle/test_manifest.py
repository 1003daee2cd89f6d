"""The manifest schema: read back as written, and everything else refused with a message that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from fake_bundles import AS_SOLVED, make_manifest, make_scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reloc_ros.bundle.manifest import SCHEMA_VERSION, RaysSpec
from reloc_ros.bundle.manifest_file import read_manifest, write_manifest
from reloc_ros.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = st.recursive(
    st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    write_manifest(make_manifest(), tmp_path / "manifest.yaml")
    return yaml.safe_load((tmp_path / "manifest.yaml").read_text())


def read_plain(tmp_path: Path, plain: Any) -> Any:
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(plain))
    return read_manifest(path)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    training=st.dictionaries(st.text(max_size=5), PLAIN, max_size=3),
    scale=st.floats(1e-12, 1e12),
    solve=st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.floats(-1e9, 1e9), max_size=3),
)
def test_what_is_written_reads_back_equal(
    tmp_path: Path, training: dict[str, Any], scale: float, solve: dict[str, Any]
) -> None:
    manifest = make_manifest(
        training=training, scenes=(make_scene(covariance=replace(AS_SOLVED, rotation_scale=scale)),), solve=solve
    )
    write_manifest(manifest, tmp_path / "manifest.yaml")
    assert read_manifest(tmp_path / "manifest.yaml") == manifest


def test_a_whole_number_may_stand_for_a_float(tmp_path: Path, plain: dict[str, Any]) -> None:
    plain["scenes"][0]["covariance"]["position_scale"] = 3
    assert read_plain(tmp_path, plain).scenes[0].covariance.position_scale == 3.0


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ((), "extra", 1, "unknown key 'extra'"),
        (("scenes", 0, "gate"), "max_psition_std_m", 1.0, "unknown key 'max_psition_std_m'"),
        ((), "schema_version", SCHEMA_VERSION + 1, "update reloc_ros"),
        ((), "schema_version", 0, "schema_version is 0"),
        ((), "schema_version", True, "schema_version is True"),
        ((), "method", 7, "method is int 7"),
        ((), "method", "", "method is empty"),
        ((), "outputs", [], "outputs is empty"),
        ((), "outputs", "weights", "outputs is str"),
        (("scenes", 0), "covariance", 2.5, "covariance is float 2.5"),
        (("scenes", 0, "covariance"), "position_scale", 0.0, "position_scale is 0.0"),
        (("scenes", 0, "covariance"), "position_scale", float("nan"), "position_scale is nan"),
        (("scenes", 0, "covariance"), "rotation_scale", True, "rotation_scale is bool True"),
        (("scenes", 0, "covariance"), "rotation_scale", -1.0, "rotation_scale is -1.0"),
        (("scenes", 0, "covariance"), "position_floor_m", -0.1, "position_floor_m is -0.1"),
        (("scenes", 0, "covariance"), "rotation_floor_rad", -0.1, "rotation_floor_rad is -0.1"),
        ((), "scenes", [], "scenes is empty"),
        (("scenes", 0), "map_frame", "", "map_frame is empty"),
        ((), "rays", {"name": "rays", "rows": 0, "columns": 8}, "grid is 0x8"),
        ((), "rays", 5, "rays is int 5"),
        ((), "solve", {"rows": "six"}, "solve.rows is str 'six'"),
        ((), "solve", {"rows": True}, "solve.rows is bool True"),
        ((), "training", [1], "training is list"),
        (("input",), "channels", "bgr", "'bgr'"),
        (("input",), "width", -64, "-64x48"),
        (("input",), "width", 64.5, "input: width is float 64.5"),
        (("camera",), "horizontal_fov_deg_min", 90.0, "90.0 to 80.0 deg"),
        (("scenes", 0, "map_bounds"), "min_m", [0.0, 0.0], "min_m has 2 entries, expected 3"),
        (("scenes", 0, "map_bounds"), "min_m", [9.0, 0.0, 0.0], "exceeds"),
        (("scenes", 0, "gate"), "max_position_std_m", 0.0, "max_position_std_m is 0.0"),
        (("scenes", 0, "gate"), "max_rotation_std_rad", -1.0, "max_rotation_std_rad is -1.0"),
        (("scenes", 0, "gate"), "bounds_margin_m", -0.1, "bounds_margin_m is -0.1"),
        (("scenes", 0, "gate"), "min_contrast", -1.0, "gate min_contrast is -1.0, expected 0 to 255"),
        (("input",), "min_contrast", 256.0, "input min_contrast is 256.0, expected 0 to 255"),
        ((), "scenes", ["room"], "str 'room'"),
        (("scenes", 0), "gate", None, "gate is None"),
        ((), "files", {"../model.onnx": "0" * 64}, "'../model.onnx'"),
        ((), "files", {"model.onnx": "abc"}, "sha256 'abc'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    tmp_path: Path, plain: dict[str, Any], place: tuple[str | int, ...], key: str, value: Any, message: str
) -> None:
    target: Any = plain
    for step in place:
        target = target[step]
    target[key] = value
    with pytest.raises(BundleError) as caught:
        read_plain(tmp_path, plain)
    assert message in str(caught.value)
    assert "changed.yaml" in str(caught.value)


def test_every_key_must_be_there(tmp_path: Path, plain: dict[str, Any]) -> None:
    for key in plain.keys() - {"sequence", "devices"}:
        without = {name: value for name, value in plain.items() if name != key}
        with pytest.raises(BundleError, match=key):
            read_plain(tmp_path, without)


def test_older_bundles_know_nothing_of_contrast(tmp_path: Path, plain: dict[str, Any]) -> None:
    for part in (plain["input"], plain["scenes"][0]["gate"]):
        del part["min_contrast"]
    manifest = read_plain(tmp_path, plain)
    assert manifest.input.min_contrast == manifest.scenes[0].gate.min_contrast == 0.0


@pytest.mark.parametrize("text", ["", "- a list", "key: [unclosed", "\x00", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.yaml"):
        read_manifest(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_bytes(b"\xff\xfe\x80method")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(path)


def test_values_that_are_not_plain_are_refused_when_writing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not plain"):
        write_manifest(make_manifest(metrics={"thing": object()}), tmp_path / "manifest.yaml")
    assert not (tmp_path / "manifest.yaml").exists()


def test_two_scenes_cannot_have_one_name() -> None:
    with pytest.raises(BundleError, match="'room'"):
        make_manifest(scenes=(make_scene(), make_scene(map_frame="upstairs")))


def test_the_rays_tensor_reads_back(tmp_path: Path) -> None:
    manifest = make_manifest(rays=RaysSpec(rows=6, columns=8))
    write_manifest(manifest, tmp_path / "manifest.yaml")
    assert read_manifest(tmp_path / "manifest.yaml") == manifest
    assert manifest.rays is not None
    assert manifest.rays.shape == (1, 48, 3)
