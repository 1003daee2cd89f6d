"""Stages run once, go on after a kill and start over when what they are made from changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reloc_ros.errors import DatasetError
from reloc_ros.mapping.stages import Stages


class Bench:
    """Two stages whose runs are recorded; the second writes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.out = self.folder / "run"
        self.log: list[str] = []

    def run(self, first: dict[str, Any], second: dict[str, Any], work: Callable[[], None] = lambda: None) -> int:
        stages = Stages(self.folder, lambda _: None)

        def make_first() -> dict[str, Any]:
            self.log.append("first")
            return {"value": 17}

        def make_second() -> dict[str, Any]:
            self.log.append("goes on" if self.out.exists() else "second")
            self.out.mkdir(exist_ok=True)
            work()
            return {}

        value = stages.run("first", first, (), make_first)["value"]
        stages.run("second", second, (self.out,), make_second)
        return int(value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_nothing_is_done_twice(bench: Bench) -> None:
    assert bench.run({"a": 1}, {"b": 2}) == bench.run({"a": 1}, {"b": 2}) == 17
    assert bench.log == ["first", "second"]


def test_a_killed_stage_goes_on_over_what_it_left(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run({"a": 1}, {"b": 2}, interrupt)
    bench.run({"a": 1}, {"b": 2})
    assert bench.log == ["first", "second", "goes on"]


def test_a_change_redoes_the_stage_and_those_after_it(bench: Bench) -> None:
    bench.run({"a": 1}, {"b": 2})
    bench.run({"a": 1}, {"b": 3})
    assert bench.log == ["first", "second", "second"]
    bench.run({"a": 9}, {"b": 3})
    assert bench.log[3:] == ["first", "second"]


def test_a_killed_stage_with_other_inputs_starts_over(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run({"a": 1}, {"b": 2}, interrupt)
    bench.run({"a": 1}, {"b": 3})
    assert bench.log == ["first", "second", "second"]


def test_a_lost_output_is_made_again(bench: Bench) -> None:
    bench.run({"a": 1}, {"b": 2})
    bench.out.rmdir()
    bench.run({"a": 1}, {"b": 2})
    assert bench.log == ["first", "second", "second"]


def test_outputs_elsewhere_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "somebody's bundle"
    mine.mkdir()
    Stages(tmp_path / "work", lambda _: None).run("export", {"a": 1}, (mine,), dict)
    assert mine.is_dir()


def test_a_torn_stage_file_says_what_to_do(bench: Bench) -> None:
    bench.run({"a": 1}, {"b": 2})
    (bench.folder / "first.stage.json").write_text('{"digest": "4')
    with pytest.raises(DatasetError, match=r"first\.stage\.json .*--restart"):
        bench.run({"a": 1}, {"b": 2})
