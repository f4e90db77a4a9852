"""README and `--help` say what is there: every option, every command line, every path."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mixkd.shared.cache.reader import Cache
from mixkd.student_train.cli import train_student
from mixkd.student_train.objective.terms import PRESETS
from mixkd.teacher_cache.cli import cache_teacher
from tests.commands import TOOLS, run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LAUNCH = "accelerate launch --num_processes 2 -m mixkd.student_train.cli"


def command_lines() -> list[str]:
    """Every line of the README's shell blocks that is not empty."""
    return [
        line.replace(LAUNCH, "train-student")
        for language, block in BLOCKS
        if language in ("bash", "console")
        for line in block.splitlines()
        if line
    ]


def commands() -> list[tuple[str, click.Command]]:
    assert isinstance(cache_teacher, click.Group)
    named = [(f"cache-teacher {name}", found) for name, found in cache_teacher.commands.items()]
    return [("train-student", train_student), *named]


@pytest.mark.parametrize(("name", "command"), commands())
def test_help_lists_every_option_and_ends_in_an_example(name: str, command: click.Command) -> None:
    shown = CliRunner().invoke(command, ["--help"], terminal_width=100)
    assert shown.exit_code == 0
    for parameter in command.params:
        for flag in parameter.opts if isinstance(parameter, click.Option) else ():
            assert re.search(rf"{flag}\b", shown.output), flag
    last = shown.output.strip().splitlines()
    assert any(name.removesuffix(" build") in line for line in last[-3:])


def test_the_readme_shows_both_tools() -> None:
    words = {line.split()[0] for line in command_lines()}
    assert set(TOOLS) <= words
    assert "./scripts/quickstart" in words


@pytest.mark.parametrize("line", [line for line in command_lines() if line.split()[0] in TOOLS])
def test_the_readmes_command_lines_parse(line: str) -> None:
    """Parsed by click itself: unknown options, missing ones and wrong types are errors."""
    tool, *words = shlex.split(line)
    command = TOOLS[tool]
    if isinstance(command, click.Group):
        name = "build" if words[0].startswith("-") else words.pop(0)
        command = command.commands[name]
    command.make_context(tool, words)


def test_every_option_the_readme_names_exists() -> None:
    known = {flag for _, command in commands() for option in command.params for flag in option.opts}
    known |= {"--slow", "--work", "--help"}  # of the scripts, and click's own
    known |= {"--num_processes", "--nproc-per-node", "--cpu"}  # of the launchers
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", README))
    assert named - known == set()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "SECURITY.md",
        "docs/guarantees.md",
        "scripts/bench/README.md",
        "tests/README.md",
    ],
)
def test_every_path_a_page_names_exists(page: str) -> None:
    """Whole paths from the root, modules of this repository, and bare names of test files."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:\./)?(?:scripts|shared|tests|docs|\.ci)/[\w./-]+)`", text)
    named += [m.replace(".", "/") + ".py" for m in re.findall(r"-m (scripts\.[\w.]+)", text)]
    named += re.findall(r"`(CHANGELOG\.md|SECURITY\.md)`", text)
    assert named
    for path in named:
        # What begins with shards/ is a cache's, and no path of the repository.
        assert path.startswith("shards/") or (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert list((ROOT / "tests").rglob(name)), name


def test_the_readme_has_the_presets_weights() -> None:
    names = ("mle", "sm", "tmkd", "kd")
    for method, weights in PRESETS.items():
        shown = " | ".join(f"{weights.get(name, 0):g}" for name in names)
        assert f"| `{method}` | {shown} |" in README


def test_the_readme_shows_the_layout_of_a_cache(
    tmp_path: Path, data: Path, good_teacher: Path
) -> None:
    """The lines of the README's own data, run: made, looked at, checked."""
    root = tmp_path / "cache"
    run(f"cache-teacher --task mood --data {data} --teacher {good_teacher} --pairs 8 --out {root}")
    told = run(f"cache-teacher info {root}")
    assert "train-student" not in told
    assert Cache.open(root).seal.rows.pairs == 8
    assert "in order" in run(f"cache-teacher verify {root} --deep --teacher {good_teacher}")
    (layout,) = [block for language, block in BLOCKS if block.startswith("shards/rte/")]
    shown = set(re.findall(r"^  ([\w.]+)/? ", layout, re.MULTILINE))
    assert {path.name for path in root.iterdir()} == shown


SHELL_SCRIPTS = ("scripts/test", "scripts/quickstart", "scripts/environment", ".ci/run")


@pytest.mark.parametrize("name", SHELL_SCRIPTS)
def test_the_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["--work"], ["--work", "a", "b"]])
def test_quickstart_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    found = subprocess.run(
        [ROOT / "scripts" / "quickstart", *arguments], check=False, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.startswith("usage: ./scripts/quickstart")
