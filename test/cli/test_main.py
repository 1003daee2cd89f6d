"""The command line itself: quick help, errors as messages with code 2, a code for each outcome."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from reloc_ros import __version__
from reloc_ros.cli import main as main_module
from reloc_ros.cli.main import COMMANDS, main
from reloc_ros.errors import RelocError

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = ("numpy", "cv2", "scipy", "matplotlib", "onnxruntime", "rich", "torch", "rclpy")


def raising(error: BaseException) -> Callable[[Any], int]:
    def run(args: Any) -> int:
        raise error

    return run


def planted_command(run: Callable[[Any], int]) -> ModuleType:
    module = ModuleType("planted", "Do something planted.")
    module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: reloc {name}" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom reloc_ros.cli.main import make_parser\nmake_parser().format_help()\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"reloc_ros {__version__}"


@pytest.mark.parametrize(
    ("run", "code", "message"),
    [
        (lambda args: 0, 0, ""),
        (lambda args: 1, 1, ""),
        (raising(RelocError("the limit is 3; use less")), 2, "reloc planted: the limit is 3; use less\n"),
        (raising(KeyboardInterrupt()), 130, "reloc planted: interrupted\n"),
    ],
)
def test_outcomes_have_their_exit_codes(
    run: Callable[[Any], int], code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(main_module, "COMMANDS", {"planted": planted_command(run)})
    assert main(["planted"]) == code
    assert capsys.readouterr().err == message


def test_a_mistake_in_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "COMMANDS", {"planted": planted_command(raising(ZeroDivisionError()))})
    with pytest.raises(ZeroDivisionError):
        main(["planted"])


@pytest.mark.parametrize("argv", [[], ["fly"]])
def test_a_wrong_command_is_a_usage_error(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
