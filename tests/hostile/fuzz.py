"""Fuzzing of opening and reading a cache: structured mutations, with every digest made right again.

    python -m tests.hostile.fuzz --seconds 300 --seed 0 [--finds FOLDER]

Every case must end in a cache that reads completely and is what its identity says, or in a
`MixkdError` of one printable line. Every eighth is also looked at by `verify`, which must find
what the reader refused, and by a dry repair. Some have links, and are repaired and sealed as well,
which may change nothing outside the cache. Anything else is a find: another exception, a signal,
more than 20 seconds, more than 64 MiB. A find is kept as a zip of the changed cache, which
`test_fuzz.py` replays from `tests/hostile/finds`. Case n of seed s is always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.hostile.fuzz_cases import Case, Good, case_of, good_caches

CHECKOUT = Path(__file__).resolve().parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Reader:
    """A process of its own that reads changed caches; see `tests/hostile/fuzz_reader.py`."""

    def __init__(
        self, root: Path, program: Sequence[str] = ("-m", "tests.hostile.fuzz_reader")
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *program, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**os.environ, **ONE_THREAD},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._requests.close()
        self._answers.close()
        self._process.wait(timeout=60)

    def read(self, case: Case) -> dict[str, Any]:
        """What became of a case: error, text, find (None if all is well) and past."""
        files = {name: data.decode("latin-1") for name, data in case.files.items()}
        request = {
            "good": case.good,
            "files": files,
            "first": case.first,
            "watched": case.watched,
            "verified": case.verified,
            "links": case.links,
        }
        self._requests.send_bytes(json.dumps(request).encode())
        found: dict[str, Any] = json.loads(self._answers.recv_bytes())
        return found


@dataclass(slots=True)
class Report:
    """What a run of the fuzzer found.

    Attributes:
        executions: Cases that were read.
        past: Of these, such whose changed content reached a parser, its digest being right.
        finds: One description each.
        ends: Class of error, or "read", and target -> how often.
    """

    executions: int = 0
    past: int = 0
    finds: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """In memory where the system has such a place."""
    fast = Path("/dev/shm")
    return tempfile.TemporaryDirectory(
        prefix="mixkd-fuzz-", dir=fast if os.access(fast, os.W_OK) else None
    )


def run(seed: int, seconds: float, finds: Path | None = None, limit: int = 2**62) -> Report:
    """Read cases 0, 1, … of a seed until the time is over, or `limit` of them."""
    report = Report()
    with temporary_folder() as folder:
        goods = good_caches(Path(folder))
        with Reader(Path(folder)) as reader:
            end = time.monotonic() + seconds
            while time.monotonic() < end and report.executions < limit:
                number = report.executions
                case = case_of(goods, seed, number)
                note(report, reader, goods, case, f"{seed}-{number}", finds)
    return report


def note(
    report: Report,
    reader: Reader,
    goods: dict[str, Good],
    case: Case,
    name: str,
    finds: Path | None,
) -> None:
    found = reader.read(case)
    report.executions += 1
    report.past += found["past"]
    report.ends[f"{found['error'] or 'read'} after a change of {case.first.split('/')[0]}"] += 1
    if found["find"] is None:
        return
    steps = "; ".join(case.steps)
    about = f"{name}, {case.good}: {found['find']} ({found['text']!r}) after {steps}"
    report.finds.append(about)
    if finds is not None:
        keep(finds / f"{name}.zip", case, goods[case.good], about)


def keep(path: Path, case: Case, good: Good, about: str) -> None:
    """The whole changed cache as a zip: its comment is what to read, of which cache, and why."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {**good.files, **case.files}
    known = {"good": case.good, "first": case.first, "links": case.links}
    comment = json.dumps({**known, "about": about[:10_000]})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment.encode()
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)


def kept(path: Path) -> Case:
    """A find, as a case that brings all its files along."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        known = json.loads(archive.comment)
    links = known.get("links", {})
    return Case(known["good"], files, known["first"], [], [known["about"]], links=links)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finds", type=Path, help="keep what is found in this folder")
    options = parser.parse_args()
    began = time.monotonic()
    return told(run(options.seed, options.seconds, options.finds), time.monotonic() - began)


def told(report: Report, seconds: float) -> int:
    """Print a report; returns the exit status."""
    for about in report.finds:
        print(about)
    for end, count in sorted(report.ends.items()):
        print(f"{count:9,} {end}")
    rate = report.executions / seconds
    print(
        f"{report.executions:,} executions ({rate:.0f} a second), {report.past:,} past the digest, "
        f"{len(report.finds)} finds"
    )
    return 1 if report.finds else 0


if __name__ == "__main__":
    sys.exit(main())
