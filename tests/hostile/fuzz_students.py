"""Fuzzing of what `train-student` loads from a cache: configs, headers of weights, tokenizers.

    python -m tests.hostile.fuzz_students --seconds 600 --seed 0

One file of a good cache, of one of nine families of encoders, is changed and signed again. A case
must give a student, or end in a `MixkdError` of one printable line, in little memory and time and
without a call that no model needs; see `student_opener.py`. Case n of seed s is always the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile import fuzz_json
from tests.hostile.fuzz import Report, temporary_folder, told
from tests.hostile.fuzz_reader import MESSAGE_LIMIT
from tests.hostile.opener import Open, opening
from tests.hostile.sign import sign
from tests.hostile.student_registry import MEMORY_BYTES, START, TOKENIZER
from tests.miniature import ENCODERS, tiny_teacher
from tests.student_train.caches import make_cache

MUTATIONS = (1, 1, 1, 2, 3)
LEAST_CASES = 40


def good_caches(folder: Path) -> dict[str, Path]:
    """A cache of each family."""
    return {
        family: make_cache(folder / family, tiny_teacher(folder / f"teacher-{family}", family))
        for family in ENCODERS
    }


def run(seed: int, seconds: float) -> Report:
    """Load cases 0, 1, … of a seed until the time is over, and at least `LEAST_CASES` of them."""
    report = Report()
    with temporary_folder() as name:
        folder = Path(name)
        goods = good_caches(folder)
        with opening("tests.hostile.student_opener", *goods.values()) as load:
            load(next(iter(goods.values())), MEMORY_BYTES)  # its imports are not the cases' time
            end = time.monotonic() + seconds
            while time.monotonic() < end or report.executions < LEAST_CASES:
                _note(report, load, goods, folder / "changed", f"{seed} {report.executions}")
    return report


def _note(report: Report, load: Open, goods: Mapping[str, Path], root: Path, case: str) -> None:
    random = Random(case)
    family = random.choice(sorted(goods))
    shutil.copytree(goods[family], root)
    files = sorted(file for part in (START, TOKENIZER) for file in (root / part).iterdir())
    name = random.choice(files).relative_to(root).as_posix()
    data, steps = mutated(random, name, (root / name).read_bytes())
    sign(root, {name: data})
    found = load(root, MEMORY_BYTES)
    shutil.rmtree(root)
    report.executions += 1
    report.past += 1  # signed, so that its parser sees it
    report.ends[found["error"] or "loaded"] += 1
    if fault := _fault(found):
        report.finds.append(f"{case}, {family}, {name}: {fault} after {steps}")


def mutated(random: Random, name: str, data: bytes) -> tuple[bytes, str]:
    """The file with a few values changed, and what was done to them."""
    if name.endswith(".json"):
        return _json(random, data)
    if name.endswith(".safetensors"):
        begin, end = 8, 8 + int.from_bytes(data[:8], "little")
        header, steps = _json(random, data[begin:end])
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + data[end:], steps
    place = random.randrange(len(data))
    return data[:place] + random.randbytes(1) + data[place + 1 :], f"a byte at {place}"


def _json(random: Random, data: bytes) -> tuple[bytes, str]:
    value, steps = json.loads(data), []
    for _ in range(random.choice(MUTATIONS)):
        value, step = fuzz_json.mutate(random, value, [json.loads(data)])
        steps.append(step)
    return fuzz_json.spelled(value), "; ".join(steps)


def _fault(found: dict[str, Any]) -> str | None:
    error, text = found["error"] or "", found["text"]
    if error.startswith(("exit", "not a MixkdError")):
        return f"{error} ({text!r})"
    if not text.isprintable() or len(text) > MESSAGE_LIMIT:
        return f"the message is not one printable line of bounded length: {text[:300]!r}"
    if found["calls"]:
        return f"the call {found['calls'][0]}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    return told(run(options.seed, options.seconds), time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
