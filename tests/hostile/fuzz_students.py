"""Fuzzing of what `train-student` loads from a cache: configs, headers of weights, tokenizers.

    python -m tests.hostile.fuzz_students --seconds 600 --seed 0 [--finds FOLDER]

Files of a good cache, of one of nine families of encoders, are changed and signed again: bytes and
values at random, or as `fuzz_configs.py` knows them. A case must give a student, or end in a
`MixkdError` of one printable line, in little memory and time, without a call that no model needs
and without opening a bait outside the cache; see `student_opener.py`. A find is kept as a zip of
what differs, which `test_students.py` replays. Case n of seed s is always the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from mixkd.shared.json_values import REMEDY
from tests.hostile import fuzz_json
from tests.hostile.fuzz import Report, temporary_folder, told
from tests.hostile.fuzz_configs import BAIT, CHANGES, STRUCTURED
from tests.hostile.fuzz_reader import MESSAGE_LIMIT
from tests.hostile.fuzz_settings import Files
from tests.hostile.opener import Open, opening
from tests.hostile.sign import sign
from tests.hostile.student_registry import MEMORY_BYTES, START, TOKENIZER
from tests.hostile.watch import Watch
from tests.miniature import ENCODERS, tiny_teacher
from tests.student_train.caches import make_cache

MUTATIONS = (1, 1, 1, 2, 3)
LEAST_CASES = 40
HIDDEN = 0.1  # of the cases with a second file: it is beside the sealed files, and in no seal


@dataclass(frozen=True, slots=True)
class Case:
    """What differs from a good cache.

    Attributes:
        family: Of the encoder, and the good cache's name.
        files: Name -> content.
        hidden: Names of those that are not signed.
        steps: What was done, for whoever reads of a find.
    """

    family: str
    files: dict[str, bytes]
    hidden: tuple[str, ...]
    steps: str


@dataclass(slots=True)
class StudentReport(Report):
    """Also counts the structured cases, and such of them as had the types that files may have."""

    structured: int = 0
    decoded: int = 0


def good_caches(folder: Path) -> dict[str, Path]:
    """A cache of each family."""
    return {family: good_cache(folder, family) for family in ENCODERS}


def good_cache(folder: Path, family: str) -> Path:
    return make_cache(folder / family, tiny_teacher(folder / f"teacher-{family}", family))


def run(seed: int, seconds: float, finds: Path | None = None) -> StudentReport:
    """Load cases 0, 1, … of a seed until the time is over, and at least `LEAST_CASES` of them."""
    report = StudentReport()
    with temporary_folder() as name:
        folder = Path(name)
        goods = good_caches(folder)
        with opening("tests.hostile.student_opener", *goods.values()) as load:
            load(next(iter(goods.values())), MEMORY_BYTES)  # its imports are not the cases' time
            end = time.monotonic() + seconds
            while time.monotonic() < end or report.executions < LEAST_CASES:
                name = f"{seed}-{report.executions}"
                case = draw(Random(f"{seed} {report.executions}"), goods)
                found = loaded(load, goods[case.family], case, folder)
                _note(report, found, case, name, finds)
    return report


def draw(random: Random, goods: Mapping[str, Path]) -> Case:
    """One case of one family."""
    family = random.choice(sorted(goods))
    root = goods[family]
    paths = sorted(path for part in (START, TOKENIZER) for path in (root / part).iterdir())
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    kind = random.choice(("any", "any", *sorted(CHANGES)))
    changed, steps = CHANGES.get(kind, _any)(random, files)
    new = sorted(set(changed) - set(files))
    hidden = tuple(new) if random.random() < HIDDEN else ()
    return Case(family, changed, hidden, f"{kind}, {steps}")


def loaded(load: Open, good: Path, case: Case, folder: Path) -> dict[str, Any]:
    """What became of a case, in `folder`, where a bait lies beside the changed cache."""
    root, bait = folder / "changed", folder / "bait"
    bait.write_bytes(b"bait")
    shutil.copytree(good, root)
    files = {name: data.replace(BAIT.encode(), bytes(bait)) for name, data in case.files.items()}
    sign(root, {name: data for name, data in files.items() if name not in case.hidden})
    for name in case.hidden:
        (root / name).write_bytes(files[name])
    with Watch(bait) as watch:
        found = load(root, MEMORY_BYTES)
        opened = ["open of the bait"] if watch.opened() else []
    shutil.rmtree(root)
    return {**found, "calls": [*found.get("calls", []), *opened]}


def _note(
    report: StudentReport, found: dict[str, Any], case: Case, name: str, finds: Path | None
) -> None:
    report.executions += 1
    if case.steps.partition(",")[0] in STRUCTURED:
        report.structured += 1
        report.decoded += REMEDY not in found["text"]
    report.past += 1  # signed, so that its parser sees it
    report.ends[f"{found['error'] or 'loaded'} after {case.steps.partition(',')[0]}"] += 1
    if fault := fault_of(found):
        about = f"{name}, {case.family}: {fault} after {case.steps}"
        report.finds.append(about)
        if finds is not None:
            keep(finds / f"{name}.zip", case, about)


def keep(path: Path, case: Case, about: str) -> None:
    """What differs, as a zip: its comment is the family, what is not signed, and why."""
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = {"family": case.family, "hidden": case.hidden, "about": about[:10_000]}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = json.dumps(comment).encode()
        for name, data in sorted(case.files.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def kept(path: Path) -> Case:
    """A find, as a case again."""
    with zipfile.ZipFile(path) as archive:
        known = json.loads(archive.comment)
        files = {name: archive.read(name) for name in archive.namelist()}
    return Case(known["family"], files, tuple(known["hidden"]), known["about"])


def _any(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Values or bytes of one file, whatever they mean."""
    name = random.choice(sorted(files))
    data, steps = mutated(random, name, files[name])
    return {name: data}, f"{name}: {steps}"


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


def fault_of(found: dict[str, Any]) -> str | None:
    """Why what became of a case is a find; None if all is well."""
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
    parser.add_argument("--finds", type=Path, help="keep what is found in this folder")
    options = parser.parse_args()
    began = time.monotonic()
    report = run(options.seed, options.seconds, options.finds)
    status = told(report, time.monotonic() - began)
    print(f"{report.decoded:,} of {report.structured:,} structured ones past the typed decoder")
    return status


if __name__ == "__main__":
    sys.exit(main())
