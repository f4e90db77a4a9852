"""`--config FILE.yaml`: options from a file, and what was run written as such a file.

Keys are the names of options, values what would follow them on the command line. An option on the
command line wins. Paths are relative to where the command runs, as on the command line.
"""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mixkd.shared import files, publish
from mixkd.shared.errors import MixkdError, UsageError
from mixkd.shared.models.quietly import first_line

RUN_FILE = "run.yaml"
log = logging.getLogger(__name__)
LIMIT_BYTES = 2**20
HEADER = "# What was run; run it again with: {tool} --config {file}\n"
# What a file does not say: how a run reports, and whether one is continued.
NOT_WRITTEN = {"as_json", "resume", "dry_run", "time_limit_s"}
GIVEN = {ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP}
DO = "name options as on the command line, without the dashes, such as 'batch-size: 32'"


def config_option() -> click.Option:
    """Make the option `--config`."""
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="YAML file of options; those on the command line win.",
    )


def read_config(path: Path, command: click.Command) -> dict[str, Any]:
    """Read the options of a command from a file: parameter -> value, as text.

    Raises:
        UsageError: Naming the file, the key, and the nearest name of an option.
    """
    import yaml

    try:
        data = files.read(path.parent, path.name, limit_bytes=LIMIT_BYTES)
        content = yaml.safe_load(data)
    except MixkdError as error:
        do = "check --config for a typo"
        raise UsageError(path, expected="a YAML file", found=error.found, do=do) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(path, expected="YAML", found=first_line(error), do=DO) from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise UsageError(path, expected="options and their values", found=found, do=DO)
    options = _options(command)
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("_", "-")
        if name not in options:
            near = difflib.get_close_matches(name, options, 1)
            do = f"did you mean {near[0]}?" if near else f"see {command.name} --help"
            raise UsageError(f"{path}: {key}", expected="an option", found="none", do=do)
        if value is not None:
            option = options[name]
            values[str(option.name)] = _value(f"{path}: {key}", option, value)
    return values


def write_config(ctx: click.Context, tool: str, path: Path) -> None:
    """Write the options that a command was given, for `--config`.

    A file there that is not such a one stays, and what cannot be written is a warning: the work is
    done by then.
    """
    import yaml

    start, _, _ = HEADER.partition(";")
    if files.exists(path) and not path.read_text(errors="replace").startswith(start):
        return
    values = {
        _names(option)[0]: _plain(option, ctx.params[str(option.name)])
        for option in _options(ctx.command).values()
        if option.name not in NOT_WRITTEN and ctx.get_parameter_source(str(option.name)) in GIVEN
    }
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=False)
    header = HEADER.format(tool=tool, file=path.name)
    try:
        publish.Root(path.parent).replace(path.name, (header + text).encode())
    except MixkdError as error:
        log.warning("%s", error)


def _read(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.default_map = read_config(path, ctx.command)


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options that a file may give, by each of their names."""
    options = (p for p in command.params if isinstance(p, click.Option) and p.expose_value)
    return {name: option for option in options for name in _names(option)}


def _names(option: click.Option) -> list[str]:
    return [name.removeprefix("--") for name in option.opts if name.startswith("--")]


def _value(where: str, option: click.Option, value: Any) -> Any:
    """Turn a value of YAML into what the command line would have given."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(where, expected="true or false", found=value, do="write one of them")
        return option.flag_value if value else not option.flag_value
    values = value if isinstance(value, list) else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            found = f"{item} (a {type(item).__name__})"
            do = "put it in quotes" if isinstance(item, bool) else DO
            raise UsageError(where, expected="text or a number", found=found, do=do)
    texts = tuple(map(str, values))
    if isinstance(value, list) or option.multiple:
        return texts
    return texts[0]


def _plain(option: click.Option, value: Any) -> Any:
    """Turn an option's value into one of YAML, which `_value` turns back."""
    if option.is_flag:
        return value == option.flag_value
    if isinstance(value, tuple | list):
        lists = (item if isinstance(item, tuple) else (item,) for item in value)
        return ["-".join(map(str, each)) for each in lists] or "none"
    return value if isinstance(value, int | float) else str(value)
