"""The documentation is current: generated pages equal what the program says, links lead somewhere, commands are accepted."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_commands import fenced

from reloc_ros.cli import reference
from reloc_ros.cli.main import main, make_parser

CHECKOUT = Path(__file__).resolve().parents[1]
GENERATED = {"commands.md", "parameters.md", "training.md"}
PAGES = sorted(
    page
    for page in [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "models" / "README.md"]
    if page.name not in GENERATED
)
# Commands of other programs, named here so that a misspelt one of ours is not taken for one of theirs.
OTHERS = (
    "colcon build",
    "git ",
    "ros2 bag ",
    "ros2 topic ",
    "ros2 service ",
    "ros2 pkg ",
    "source ",
    "cd ",
    "python3 -m venv",
)
NEEDS = {"parameters.md": "rclpy", "training.md": "torch"}


def inline(page: Path) -> Iterator[str]:
    """Yield what stands between backticks in the text and looks like a command of ours with arguments."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for span in re.findall(r"`(reloc [a-z][^`]*)`", text):
        yield " ".join(span.split())


def ours(*kinds: str) -> list[tuple[str, str]]:
    """Return (page, command) for every command of ours that stands in one of the kinds."""
    found = []
    for page in PAGES:
        if "fenced" in kinds:
            found += [(page.name, command) for command in fenced(page) if command.startswith("reloc ")]
        if "inline" in kinds:
            found += [(page.name, command) for command in inline(page)]
    return found


@pytest.mark.parametrize("page", sorted(GENERATED))
def test_generated_pages_are_current(page: str) -> None:
    if page in NEEDS:
        pytest.importorskip(NEEDS[page])
    written = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    assert written == reference.PAGES[page](), "run: make docs"


def test_the_reference_names_every_command_and_option() -> None:
    text = reference.commands()
    for name in (
        "reloc map",
        "reloc dataset film",
        "reloc bench recovery",
        "`--fault NAME,...`",
        "`--report OUT` (required)",
    ):
        assert name in text, name
    assert "%(" not in text


def test_there_are_commands_to_check() -> None:
    assert len(ours("fenced")) > 15
    assert len(ours("fenced", "inline")) > 30


@pytest.mark.parametrize(("page", "command"), ours("fenced"))
def test_commands_in_blocks_are_accepted_as_they_stand(page: str, command: str) -> None:
    # Three dots stand for more of the same.
    make_parser().parse_args([word for word in shlex.split(command)[1:] if word != "..."])


@pytest.mark.parametrize(("page", "command"), ours("inline"))
def test_commands_in_the_text_name_what_there_is(page: str, command: str) -> None:
    text = reference.commands()
    words = command.split()
    # `reloc demo | map | ...` lists commands; `reloc map BAG ...` shows a part of one.
    if "|" in words:
        listed = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]+", word)]
        assert [word for word in listed if f"## reloc {word}" not in text] == [], f"{page}: {command}"
        return
    sections = dict(re.findall(r"^## (reloc [a-z-]+(?: [a-z_-]+)?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in sections), None)
    groups = {" ".join(section.split()[:2]) for section in sections}
    assert name is not None or " ".join(words[:2]) in groups, f"{page}: there is no {command!r}"
    for option in (word for word in words if word.startswith("--")):
        within = (
            sections[name]
            if name
            else "".join(body for section, body in sections.items() if section.startswith(" ".join(words[:2])))
        )
        assert f"`{option.split('=')[0]}" in within or option == "--help", f"{page}: {command}: {option}"


def test_other_commands_are_ours_to_launch_make_or_install_or_somebody_elses() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    extras = re.findall(r'^        "(\w+)": \[', (CHECKOUT / "setup.py").read_text(encoding="utf-8"), re.MULTILINE)
    for page in PAGES:
        for command in fenced(page):
            words = command.split()
            if words[0] in ("reloc", "ros2") or command.startswith(OTHERS):
                continue
            if words[0] == "make":
                for target in (word for word in words[1:] if "=" not in word and not word.startswith("-")):
                    assert re.search(rf"^{target}\b.*:", makefile, re.MULTILINE), (page.name, command)
            elif words[0] == "pip":
                assert set(re.findall(r"\[([\w,]+)\]", command)) <= set(extras) | {",".join(extras)} or "," in command


def launches() -> list[tuple[str, str]]:
    pages = [(page.name, command) for page in PAGES for command in fenced(page)]
    return [(name, command) for name, command in pages if command.startswith("ros2 launch reloc_ros ")]


@pytest.mark.parametrize(("page", "command"), launches())
def test_launch_commands_name_files_and_arguments_there_are(page: str, command: str) -> None:
    _, _, _, file, *given = shlex.split(command)
    path = CHECKOUT / "launch" / file
    assert path.is_file(), f"{page}: {command}"
    declared = set()
    names = [file, *re.findall(r'"(\w+\.launch\.py)"', path.read_text(encoding="utf-8"))]
    for name in names:
        for node in ast.walk(ast.parse((CHECKOUT / "launch" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument":
                declared.add(ast.literal_eval(node.args[0]))
    assert {argument.partition(":=")[0] for argument in given} <= declared | {"..."}, f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_reasons_and_parameters_in_troubleshooting_exist() -> None:
    from reloc_ros.types import Reason

    text = (CHECKOUT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    reasons = {reason.value for reason in Reason}
    parameters = set(
        re.findall(r"^\| `(\w+)` \|", (CHECKOUT / "docs" / "parameters.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    others = {
        "base_link",
        "camera_info",
        "frames_in",
        "withheld",
        "use_sim_time",
        "scene_hint",
        "initialpose",
        "bondpy",
    }
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    assert named - reasons - parameters - others == set()


def test_short_commands_of_the_docs_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    assert main(["inspect", "models/apartment"]) == 0
    assert main(["weights", "list"]) == 0
    assert "apartment" in capsys.readouterr().out
