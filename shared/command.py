"""What both command lines share: logging, exit codes, and failures told in one line."""

from __future__ import annotations

import gc
import io
import logging
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mixkd.shared.errors import MixkdError, printable
from mixkd.shared.help import SETTINGS, format_example

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED, TERMINATED = 130, 143
LABEL = r"\S+ {2,}| {3,}"  # in front of what a line says


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, no `except Exception` swallows it."""


class Layers(click.ParamType[Any]):
    """A starting point: its depth, such as 3, or the teacher's layers, such as 0-2-5."""

    name = "N|N-N-…"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | tuple[int, ...]:
        if isinstance(value, int):
            return value
        if isinstance(value, tuple):  # as a file gives them
            return tuple(map(int, value))
        parts = value.split("-")
        if not all(part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"expected a depth, such as 3, or layers, such as 0-2-5, found {value!r}")
        numbers = tuple(map(int, parts))
        return numbers if len(numbers) > 1 else numbers[0]


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what standard error is at the time: a bar takes its place to show lines above."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def main(command: click.Command) -> None:
    """Run a click command as a process: exit 0 done, 1 a named failure, 2 wrong usage, 130 and 143
    interrupted. `--debug` anywhere shows tracebacks."""
    debug = "--debug" in sys.argv[1:]
    logging.basicConfig(
        format="%(message)s", handlers=[_Stderr()], level=logging.WARNING, force=True
    )
    logging.getLogger("mixkd").setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal cannot show is escaped, as on stderr: a label's name must stop no run.
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    # The name is given: completion asks for it in the environment, however the tool was started.
    started = partial(command, arguments, prog_name=command.name, standalone_mode=False)
    leave(_exit_code(started, debug))


def leave(exit_code: int) -> NoReturn:
    """End the process.

    The interpreter's last collections would visit each of the hundreds of thousands of objects that
    the libraries leave, which takes seconds after the last line; frozen ones are passed over.
    """
    gc.freeze()
    sys.exit(exit_code)


class DefaultGroup(click.Group):
    """A group whose first argument may be one of its default command.

    An option is, but for `--help` and the group's own; a word that is no command is where the
    default command takes words.

    Args:
        default: The name of the command.
    """

    def __init__(self, *arguments: Any, default: str, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.default = default
        self.context_settings = {**SETTINGS, **self.context_settings}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and self._is_the_defaults(ctx, args[0]):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def _is_the_defaults(self, ctx: click.Context, word: str) -> bool:
        if word.startswith("-"):
            own = {*ctx.help_option_names, *(flag for param in self.params for flag in param.opts)}
            return word not in own
        takes_words = any(isinstance(p, click.Argument) for p in self.commands[self.default].params)
        return takes_words and word not in self.commands

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_example(self.epilog, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the group's words, and options of the default command."""
        items = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            default = self.commands[self.default]
            with default.make_context(self.default, [], ctx, resilient_parsing=True) as inner:
                items += default.shell_complete(inner, incomplete)
        return list({item.value: item for item in items}.values())


@contextmanager
def stopping(kept: Callable[[], str]) -> Iterator[None]:
    """Say what is true of a run that a signal ends in the block.

    Args:
        kept: Says what there is of the run now, and what continues it.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        raise type(error)(kept()) from None


def wrapped(lines: Iterable[str]) -> str:
    """Join lines like `shown`, broken between words where they are wider than the terminal.

    What follows the first part stands under its text, behind a label such as `size         `.
    """
    if not sys.stdout.isatty():
        return shown([*lines])
    width = shutil.get_terminal_size().columns
    wrap = partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    broken = []
    for line in map(printable, lines):
        label = re.match(LABEL, line)
        indent = " " * (len(label[0]) if label and len(label[0]) < width // 2 else 2)
        broken += wrap(line, subsequent_indent=indent) or [""]
    return "\n".join(broken)


def shown(lines: list[str]) -> str:
    """Join lines for a terminal, with control characters from files made visible."""
    return "\n".join(map(printable, lines))


def _exit_code(run: Callable[[], Any], debug: bool) -> int:
    try:
        run()
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MixkdError as error:
        return _failed(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, click.Abort) as error:
        cause = error.__cause__ or error  # click turns the one into the other
        return _failed("; ".join(("interrupted", *map(str, cause.args))), INTERRUPTED, debug)
    except Terminated as error:
        return _failed("; ".join(("terminated", *map(str, error.args))), TERMINATED, debug)
    except BrokenPipeError:
        # The reader of stdout went away (| head): nothing is left to say. 1, as click exits then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last resort: a bug, told in one line unless --debug
        text = f"unexpected {type(error).__name__}: {str(error)[:500]}; run again with --debug"
        return _failed(text, 1, debug)
    return 0


def _failed(text: str, exit_code: int, debug: bool) -> int:
    if debug:
        logging.getLogger().exception("traceback, because of --debug:")
    click.echo(f"error: {printable(text)}", err=True)
    return exit_code


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated
