"""What both command lines share: logging, exit codes, and failures told in one line."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from mixkd.shared.errors import MixkdError, printable

INTERRUPTED, TERMINATED = 130, 143


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, no `except Exception` swallows it."""


class Layers(click.ParamType[Any]):
    """A starting point: its depth, such as 3, or the teacher's layers, such as 0-2-5."""

    name = "N|N-N-…"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | tuple[int, ...]:
        if isinstance(value, int | tuple):
            return value
        parts = value.split("-")
        if not all(part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"expected a depth, such as 3, or layers, such as 0-2-5, found {value!r}")
        numbers = tuple(map(int, parts))
        return numbers if len(numbers) > 1 else numbers[0]


def main(command: click.Command) -> None:
    """Run a click command as a process: exit 0 done, 1 a named failure, 2 wrong usage, 130 and 143
    interrupted. `--debug` anywhere shows tracebacks."""
    debug = "--debug" in sys.argv[1:]
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    logging.getLogger("mixkd").setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal cannot show is escaped, as on stderr: a label's name must stop no run.
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    sys.exit(_exit_code(lambda: command(arguments, standalone_mode=False), debug))


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
    except (KeyboardInterrupt, click.Abort):
        return _failed(
            "interrupted; what was committed or saved stays, and can be continued",
            INTERRUPTED,
            debug,
        )
    except Terminated:
        return _failed(
            "terminated; what was committed or saved stays, and can be continued", TERMINATED, debug
        )
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
