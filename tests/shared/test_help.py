"""Both tools' face: groups, versions, flags, completion, files of options."""

from __future__ import annotations

import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.core import ParameterSource
from click.testing import CliRunner

from mixkd.shared.configuration import read_config
from mixkd.shared.errors import UsageError
from mixkd.shared.help import Command
from mixkd.student_train import cli as student
from mixkd.teacher_cache import cli as teacher
from tests.commands import TOOLS

ROOT = Path(__file__).resolve().parents[2]
BUILD = teacher.cache_teacher.commands["build"]
TRAIN = student.train_student.commands["train"]
MODULES = {
    "cache-teacher": "mixkd.teacher_cache.cli",
    "train-student": "mixkd.student_train.cli",
}


def help_of(command: click.Command, width: int) -> str:
    return CliRunner().invoke(command, ["-h"], terminal_width=width).output


@pytest.mark.parametrize("width", [60, 120])
def test_every_option_stands_in_a_group(width: int) -> None:
    """But for the commands whose few options need none."""
    finetune = teacher.cache_teacher.commands["finetune"]
    for command in (BUILD, finetune, TRAIN):
        shown = help_of(command, width)
        assert "\nOptions:" not in shown, shown
        headings = [line for line in shown.splitlines() if line.endswith(":")]
        assert headings[0] in ("Data:", "Cache:") and "General options:" in headings
        *_, example = shown.rstrip().splitlines()
        assert all(len(line) <= width for line in shown.splitlines() if line != example)


@pytest.mark.parametrize("name", TOOLS)
def test_what_a_command_does_is_not_cut(name: str) -> None:
    shown = help_of(TOOLS[name], 60)
    assert "..." not in shown.partition("Commands:")[2], shown
    assert all(len(line) <= 60 for line in shown.partition("Example:")[0].splitlines())


def test_an_option_that_no_group_names_is_shown_too() -> None:
    option = click.Option(["--new"], help="Fresh.")
    shown = help_of(Command("tool", params=[option], groups={"Data": ("absent",)}), 80)
    assert "Options:\n  --new TEXT  Fresh." in shown


@pytest.mark.parametrize("name", TOOLS)
def test_versions_have_the_programs_name(name: str) -> None:
    shown = CliRunner().invoke(TOOLS[name], ["--version"]).output
    assert shown.startswith(f"{name} ") and "cache format 1" in shown


def test_choices_are_choices() -> None:
    for flag, command in (("--method", TRAIN), ("--mask", BUILD)):
        (option,) = [o for o in command.params if flag in o.opts]
        assert isinstance(option.type, click.Choice)


@pytest.mark.parametrize(
    ("words", "level"), [(["-q"], logging.WARNING), (["--verbose"], logging.DEBUG), ([], None)]
)
def test_quiet_and_verbose_last_as_long_as_the_command(words: list[str], level: int | None) -> None:
    logger, root = logging.getLogger("mixkd"), logging.getLogger()
    before, seen = (logger.level, root.level), []
    tool = Command("tool", callback=lambda: seen.append(logger.level))
    assert CliRunner().invoke(tool, words).exit_code == 0
    assert seen == [before[0] if level is None else level]
    assert (logger.level, root.level) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_made_and_works(shell: str) -> None:
    """The script that the shell reads, and what it asks for when a user presses tab."""

    def ask(name: str, **more: str) -> str:
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        found = subprocess.run(
            [sys.executable, "-m", MODULES[name]],
            env={"PYTHONPATH": str(ROOT), variable: more.pop("do"), **more},
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        return found.stdout

    assert "train-student" in ask("train-student", do=f"{shell}_source", PATH="/usr/bin:/bin")
    line = {
        "bash": {"COMP_WORDS": "cache-teacher --te", "COMP_CWORD": "1"},
        "zsh": {"COMP_WORDS": "cache-teacher --te", "COMP_CWORD": "1"},
        "fish": {"COMP_WORDS": "cache-teacher", "COMP_CWORD": "--te"},
    }[shell]
    assert "--teacher" in ask("cache-teacher", do=f"{shell}_complete", **line)
    methods = {
        "bash": {"COMP_WORDS": "train-student --method m", "COMP_CWORD": "2"},
        "zsh": {"COMP_WORDS": "train-student --method m", "COMP_CWORD": "2"},
        "fish": {"COMP_WORDS": "train-student --method", "COMP_CWORD": "m"},
    }[shell]
    assert "mixkd" in ask("train-student", do=f"{shell}_complete", **methods)


def params_of(command: click.Command, words: list[str]) -> dict[str, Any]:
    with command.make_context("tool", [*words]) as ctx:
        return ctx.params


def test_a_file_gives_options_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "task: mood\npairs: 10\ntext_columns: [a, b]\nstudent-layers: [2, 0-2-5]\ntime-limit: 90\n"
        "no-text: true\nbeta: 1e-1\nlabel-column: null\n"
    )
    found = params_of(BUILD, ["--config", str(file), "--pairs", "20"])
    assert found["pairs"] == 20
    assert (found["task"], found["beta"], found["text"]) == ("mood", 0.1, False)
    assert (found["text_columns"], found["student_layers"]) == (("a", "b"), (2, (0, 2, 5)))
    assert (found["time_limit_s"], found["label_column"]) == (90.0, None)
    file.write_text("cache: shards/rte\nlr: 0.1\ntrack: [tensorboard]\nno-such: 1\n")
    with pytest.raises(UsageError, match="no-such: expected an option, found none"):
        read_config(file, TRAIN)
    file.write_text("cache: shards/rte\nlr: 0.1\ntrack: [tensorboard]\n")
    found = params_of(TRAIN, ["--config", str(file)])
    assert (found["cache"], found["learning_rate"]) == ((Path("shards/rte"),), 0.1)
    assert found["track"] == ("tensorboard",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("epoch: 3", "epoch: expected an option, found none; did you mean epochs\\?"),
        ("epochs: [1", "expected YAML, found"),
        ("- epochs", "expected options and their values, found a list"),
        ("", "expected options and their values, found nothing"),
        ("method: yes", "expected text or a number, found True .*put it in quotes"),
        ("resume: 3", "resume: expected true or false, found 3"),
        ("out: {a: 1}", "expected text or a number, found"),
        ("quiet: true", "quiet: expected an option"),
        ("!!python/object/apply:os.system [ls]", "expected YAML, found ConstructorError"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, content: str, match: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=match):
        params_of(TRAIN, ["--config", str(file), "x"])
    with pytest.raises(UsageError, match="absent.yaml: expected a YAML file, found none"):
        params_of(TRAIN, ["--config", str(tmp_path / "absent.yaml"), "x"])


def test_values_in_a_file_are_checked_as_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 0.5")
    with pytest.raises(click.BadParameter, match="'0.5' is not a valid integer"):
        params_of(TRAIN, ["--config", str(file), "x"])


@pytest.mark.parametrize("command", [BUILD, TRAIN])
def test_what_was_run_is_a_file_of_options(
    command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option of both tools, written and read again."""
    from mixkd.shared.configuration import NOT_WRITTEN, write_config

    values: dict[type, str] = {click.Path: "a place", click.Choice: ""}
    words = []
    for option in command.params:
        if not isinstance(option, click.Option) or not option.expose_value:
            continue
        if option.name in NOT_WRITTEN or option.name in ("pairs", "cache"):
            continue
        choices = getattr(option.type, "choices", None)
        value = choices[-1] if choices else values.get(type(option.type), "7")
        words += [option.opts[0]] if option.is_flag else [option.opts[0], value]
    words += ["--pairs", "7"] if command is BUILD else ["--cache", "a", "--cache", "b"]
    file = tmp_path / "run.yaml"
    with command.make_context("tool", [*words]) as ctx:
        write_config(ctx, "tool", file)
        params = dict(ctx.params)
    with command.make_context("tool", ["--config", str(file)]) as ctx:
        assert ctx.params == params
        assert ctx.get_parameter_source("seed") is ParameterSource.DEFAULT_MAP
    theirs = "# mine\nseed: 1\n"
    file.write_text(theirs)
    with command.make_context("tool", [*words]) as ctx:
        write_config(ctx, "tool", file)
    assert file.read_text() == theirs
    assert yaml.safe_load(theirs) == {"seed": 1}


def test_the_page_about_commands_is_true(tmp_path: Path) -> None:
    """Its options exist, its file of options is one, its command lines parse."""
    page = (ROOT / "docs/commands.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "run.yaml").write_text(block)
    assert len(read_config(tmp_path / "run.yaml", TRAIN)) == 4
    commands = [*teacher.cache_teacher.commands.values(), *student.train_student.commands.values()]
    known = {flag for command in commands for option in command.params for flag in option.opts}
    known |= {"--version", "--help", "--nproc-per-node", "--num_processes", "--cpu"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page)) <= known
    lines = re.findall(r"^((?:cache-teacher|train-student) .*)$", page, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        name, *words = shlex.split(line)
        group = TOOLS[name]
        chosen = words.pop(0) if words[0] in group.commands else group.default
        group.commands[chosen].make_context(name, words)
    for shell in ("bash", "zsh", "fish"):
        assert f"_TRAIN_STUDENT_COMPLETE={shell}_source train-student" in page
