"""Whatever is changed in a cache, with every digest right, it reads or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixkd.shared.json_values import dumps, sha256_hex
from tests import tiers
from tests.conftest import Tally
from tests.hostile import fuzz, fuzz_cases, fuzz_links
from tests.hostile.fuzz_cases import Case, Good, draw, good_caches, sealed, signed
from tests.hostile.fuzz_json import nested, spelled

FINDS = Path(__file__).parent / "finds"
LEAST_PAST = 0.25  # of the executions: else digests are fuzzed, not parsers


@dataclass(frozen=True, slots=True)
class Bench:
    """Good caches and a process that reads changed ones."""

    goods: dict[str, Good]
    reader: fuzz.Reader


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with fuzz.temporary_folder() as folder:
        goods = good_caches(Path(folder))
        with fuzz.Reader(Path(folder)) as reader:
            yield Bench(goods, reader)


@pytest.mark.parametrize(
    ("seed", "seconds"), [tiers.sample(0, 8), tiers.slow(0, 30), tiers.slow(1, 390, timeout_s=1500)]
)
def test_every_case_is_read_or_refused(seed: int, seconds: float, tally: Tally) -> None:
    report = fuzz.run(seed, seconds)
    tally("fuzz executions past the digest", report.past, of=report.executions)
    assert report.finds == []
    assert report.past > LEAST_PAST * report.executions > 0


@pytest.mark.parametrize("count", [tiers.sample(150), tiers.slow(600)])
def test_drawn_mutations(bench: Bench, count: int, tally: Tally) -> None:
    """The same mutations, drawn by hypothesis, which shrinks what it finds."""
    report = fuzz.Report()

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.sampled_from(sorted(bench.goods)), st.randoms(use_true_random=False))
    def read(name: str, random: Random) -> None:
        goods = {name: bench.goods[name]}
        before = len(report.finds)
        fuzz.note(report, bench.reader, goods, draw(random, goods), "drawn", None)
        assert report.finds[before:] == []

    read()
    tally("fuzz executions past the digest", report.past, of=report.executions)
    assert report.past > LEAST_PAST * report.executions > 0


# What fuzzing and looking at its cases have found, as code; what is in `finds` was kept as it was.


def edited(good: Good, edit: Callable[[dict[str, Any]], object]) -> Case:
    seal = good.seal
    edit(seal)
    return Case(good.name, sealed(spelled(seal)), "MANIFEST.json", [])


def deep_made(seal: dict[str, Any]) -> None:
    """Canonical and within Python's depth, until data classes were turned into JSON again."""
    seal["shards"][0]["made"] = nested({}, 500, tables=True)


def file_of_5000_digits(seal: dict[str, Any]) -> None:
    """A starting point of as many layers: more digits than Python turns into an integer."""
    entry = {"path": f"student_init/layers-{'1' * 5000}/config.json", "bytes": 3}
    seal["files"] = [*seal["files"], {**entry, "sha256": "0" * 64}]
    seal["files"].sort(key=lambda file: str(file["path"]))


def long_file(seal: dict[str, Any]) -> None:
    """A name that no disk holds, in a message about all files of its folder."""
    seal["files"][-1]["path"] = f"tokenizer/{'t' * 5000}.json"


def long_format(seal: dict[str, Any]) -> None:
    seal["format"] = 10**4000


def long_format_of_a_record(seal: dict[str, Any]) -> None:
    seal["shards"][0]["format"] = 10**4000


def integral_beta(good: Good) -> Case:
    """1 where a builder writes 1.0: the same identity, under another spelling's fingerprint."""
    value = json.loads(good.files["cache.json"])
    value["identity"]["mixup"]["beta"] = 1
    return under(good, value, sha256_hex(dumps(value["identity"])))


def right_integral_beta(good: Good) -> Case:
    """The same spelling under the fingerprint of the value: it is read."""
    value = json.loads(good.files["cache.json"])
    value["identity"]["mixup"]["beta"] = 1.0
    fingerprint = sha256_hex(dumps(value["identity"]))
    value["identity"]["mixup"]["beta"] = 1
    return under(good, value, fingerprint)


def under(good: Good, header: dict[str, Any], fingerprint: str) -> Case:
    """A header, with a fingerprint in all that repeats it."""
    header["fingerprint"] = fingerprint
    seal = {**good.seal, "fingerprint": fingerprint}
    for record in seal["shards"]:
        record["fingerprint"] = fingerprint
    old = json.loads(good.files["cache.json"])["fingerprint"].encode()
    shards = {
        name: data.replace(old, fingerprint.encode())
        for name, data in good.files.items()
        if name.startswith("data/")
    }
    files, _ = signed(seal, {"cache.json": dumps(header), **shards})
    return Case(good.name, files, "cache.json", [])


FOUND: dict[str, tuple[Callable[[Good], Case], str | None]] = {
    "deep made": (lambda good: edited(good, deep_made), "MalformedError"),
    "file of 5000 digits": (lambda good: edited(good, file_of_5000_digits), "MalformedError"),
    "long file": (lambda good: edited(good, long_file), "MalformedError"),
    "long format": (lambda good: edited(good, long_format), "VersionError"),
    "long format of a record": (
        lambda good: edited(good, long_format_of_a_record),
        "MalformedError",
    ),
    "integral beta": (integral_beta, "MalformedError"),
    "integral beta of a right fingerprint": (right_integral_beta, None),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(bench: Bench, name: str) -> None:
    make, error = FOUND[name]
    found = bench.reader.read(make(bench.goods["golden-arrow"]))
    assert found["find"] is None
    assert found["error"] == error


@pytest.mark.parametrize("path", sorted(FINDS.glob("*.zip")), ids=lambda path: path.stem)
def test_a_find_is_mended(bench: Bench, path: Path) -> None:
    found = bench.reader.read(fuzz.kept(path))
    assert found["find"] is None, found


def test_finds_are_kept_and_replayed(bench: Bench, tmp_path: Path) -> None:
    good = bench.goods["golden-hdf5"]
    case = draw(Random(3), {good.name: good})
    fuzz.keep(tmp_path / "find.zip", case, good, "what was found \u202e")
    again = fuzz.kept(tmp_path / "find.zip")
    assert (again.good, again.first) == (case.good, case.first)
    assert again.files == {**good.files, **case.files}
    first, second = bench.reader.read(case), bench.reader.read(again)
    assert {**second, "past": first["past"]} == first


@pytest.mark.parametrize("count", [tiers.sample(40), tiers.slow(400)])
def test_links_are_read_and_never_written_through(bench: Bench, count: int, tally: Tally) -> None:
    report = fuzz.Report()
    for number in range(count):
        random = Random(number)
        case = fuzz_cases.linked(random, bench.goods[random.choice(sorted(bench.goods))])
        fuzz.note(report, bench.reader, bench.goods, case, f"links {number}", None)
    tally("fuzz executions past the digest", report.executions, of=report.executions)
    assert report.finds == []
    assert {end.partition(" ")[0] for end in report.ends} >= {"read", "UnsafeFileError"}


def test_what_is_done_outside_a_cache_is_found(bench: Bench, tmp_path: Path) -> None:
    files = bench.goods["golden-arrow"].files
    links = {"seals": "outside", "quarantine": "empty", "runs": "nothing", "README.md": "bait"}

    def fault(do: Callable[[Path], object]) -> str:
        with fuzz_links.placed(tmp_path / "case", files, links) as linked:
            assert linked.fault() is None
            do(linked.root)
            return str(linked.fault())

    assert "quarantine/x" in fault(lambda root: (root / "quarantine" / "x").touch())
    assert "seals" in fault(lambda root: next((root / "seals").iterdir()).unlink())
    assert "README.md" in fault(lambda root: (root / "README.md").write_bytes(b""))
    assert "runs" in fault(lambda root: (root / "runs").write_bytes(b""))
    assert "no link" in fault(lambda root: (root.parent / "outside" / "unnamed").read_bytes())
    assert fault(lambda root: (root / "quarantine").unlink()) == "None"


FAULTY = """
import os, pathlib, signal, sys, time
from mixkd.shared.errors import MixkdError
from tests.hostile import fuzz_reader
good = fuzz_reader.read_everything
def read(root, first):
    (root / "left by who was killed").touch()
    if first == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    elif first == "hang": time.sleep(60)
    elif first == "memory": bytearray(2**28)
    elif first == "raise": {}[first]
    elif first == "blind": raise MixkdError(root, expected=1, found=2, do="go")
    elif first == "long": raise MixkdError(root / ("a" * 5000), expected=1, found=2, do="go")
    else: good(root, first)
fuzz_reader.read_everything, fuzz_reader.SECONDS = read, 2
fuzz_reader.verify_cache = lambda root, deep: []
fuzz_reader.main(pathlib.Path(sys.argv[1]))
"""
FAULTS = {
    "crash": "the reader ended by SIGSEGV",
    "raise": "KeyError is no MixkdError",
    "hang": "the reader ended by SIGALRM",
    "memory": "MemoryError is no MixkdError",
    "long": "a message of 5",
    "blind": "Unsound is no MixkdError",
}


def test_faults_of_a_reader_are_found(tmp_path: Path) -> None:
    """And the next case is read as if nothing had been."""
    root = tmp_path / "caches"
    root.mkdir()
    goods = good_caches(root)
    with fuzz.Reader(root, ["-c", FAULTY]) as reader:
        for fault, expected in FAULTS.items():
            report = fuzz.Report()
            case = Case("golden-arrow", {"data/new": b""}, fault, [], ["nothing"])
            fuzz.note(report, reader, goods, case, "7-8", tmp_path / "finds")
            assert expected in report.finds[0]
            large = {"runs.json": bytes(2**24)}  # more than a reader may use, once it is a request
            found = reader.read(Case("golden-arrow", large, "cache.json", []))
            assert (found["error"], found["find"]) == (None, None)
    assert fuzz.kept(tmp_path / "finds" / "7-8.zip").steps[0].startswith("7-8, golden-arrow: Unso")
