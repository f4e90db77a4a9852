"""Reads changed caches in a child with little memory and time, and says what became of each.

    python -m tests.hostile.fuzz_reader FOLDER

FOLDER holds good caches. A request is a case as JSON on the standard input, an answer is JSON on
the standard output. Everything is imported and every good cache read before the first fork; a child
that was killed is reported as the answer to its last request, and the next child goes on.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import mixkd.shared.cache.scores
from mixkd.shared.cache.codecs import CODECS
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.header import Header
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.seal import Seal
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import MixkdError
from mixkd.shared.examples import Examples
from tests.hostile import fuzz_links
from tests.hostile.opener import limited_memory

MEMORY_BYTES = 64 * 2**20
SECONDS = 20
CASES_OF_A_CHILD = 5000
LINKED = "linked"  # beside the good caches
MESSAGE_LIMIT = 2500  # twice what an error shows, a path, and advice


class Unsound(Exception):  # noqa: N818 - a verdict, not an error
    """A cache that was read without complaint, and is not what its identity says."""


def read_everything(root: Path, first: str) -> None:
    """All that a student reads, beginning with the file that was changed.

    Raises:
        MixkdError: As the reader does.
        Unsound: If it did not refuse what it should have.
    """
    if first.startswith("commits/"):
        _require_same(CacheFolder(root).record(first))
        return
    cache = Cache.open(root)
    if first.endswith(".json"):
        _require_same(cache.seal)
        _require_same(cache.header)
        Cache.open(root, pin=cache.pin)
    changed = [record for record in cache.seal.shards if record.file == first]
    for record in changed:
        _read_shard(cache, record)
    splits = sorted(cache.identity.splits, key=lambda s: f"examples/{s.name}.arrow" != first)
    for split in splits:
        _read_examples(cache, split)
    cache.check_alignment()  # which reads the originals
    for record in cache.pair_records:
        if record.file != first:
            _read_shard(cache, record)
    for layers in cache.starts:
        cache.student_folder(layers)
    cache.tokenizer_folder()


def _read_shard(cache: Cache, record: Any) -> None:
    columns = cache.read(record)
    layout = cache.identity.layout(record.kind, record.start, record.stop)
    _require(list(columns) == list(layout.columns), "the columns of the identity")
    for name, (dtype, _) in layout.columns.items():
        values = columns[name]
        _require(values.dtype == dtype and values.shape == layout.shape(name), f"{name}'s shape")
        _require(bool(np.isfinite(values).all()), f"finite {name}")


def _read_examples(cache: Cache, split: Any) -> None:
    """Every token and text of a split, as the trainer takes them."""
    examples = cache.examples(split.name)
    rows = np.arange(split.rows)
    _require(len(examples) == split.rows, "the split's rows")
    batch = examples.originals(rows, 0)
    _require(bool((batch.left_ids >= 0).all()), "ids of at least 0")
    _require(not np.isinf(examples.labels).any(), "finite labels")
    _require(int(examples.labelled.sum()) == split.labelled, "labels in as many rows as said")
    examples.ids_sha256()
    for texts in (examples.text_a, examples.text_b):
        _require(texts is None or len(texts.to_pylist()) == split.rows, "a text in each row")


def _require_same(value: Record | Seal | Header) -> None:
    """Whatever spelling it was read from, its own one must say the same."""
    again = type(value).from_bytes(value.to_bytes(), "again")
    _require(again == value, f"a {type(value).__name__} that can be written and read")


def _require(sound: bool, what: str) -> None:
    if not sound:
        raise Unsound(f"accepted without {what}")


class Parsers:
    """Notes which contents reach a parser after their digest was found right.

    A seal, a shard and examples reach theirs only so. cache.json is parsed first and then compared
    with the seal, in which every case signs it.
    """

    def __init__(self) -> None:
        self.watched: set[str] = set()
        self.reached = False

    def install(self) -> None:
        """Wrap the parsers, and remember scores, which are a pure function and the slowest step."""
        vars(mixkd.shared.cache.scores)["metrics"] = remembered(
            vars(mixkd.shared.cache.scores)["metrics"]
        )
        for codec in map(type, CODECS.values()):
            codec.decode = self._noting(codec.decode, 2)  # type: ignore[method-assign]
        for kind in (Examples, Header, Seal):
            kind.from_bytes = staticmethod(self._noting(kind.from_bytes, 0))  # type: ignore

    def _noting(self, parse: Callable[..., Any], position: int) -> Callable[..., Any]:
        def noting(*given: Any) -> Any:
            self.reached |= sha256(given[position]).hexdigest() in self.watched
            return parse(*given)

        return noting


def remembered(score: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[bytes, bytes, str], Any] = {}

    def found(logits: Any, labels: Any, problem_type: str) -> Any:
        key = (logits.tobytes(), labels.tobytes(), f"{problem_type} {logits.shape}")
        if key not in known:
            known[key] = score(logits, labels, problem_type)
        return known[key]

    return found


def verdict(root: Path, first: str, verified: bool) -> dict[str, Any]:
    """How reading ended: the error's class and text, and why it is a find, or None.

    With `verified`, what is refused must be a finding of `verify`, and repair must have a plan or
    a named error.
    """
    found = _outcome(lambda: read_everything(root, first))
    if verified and found["find"] is None:
        looked = _outcome(lambda: _look(root, refused=found["error"] is not None))
        found["find"] = looked["find"]
    return found


def linked_verdict(folder: Path, case: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """How reading, verifying, repairing and sealing a cache with links ended, as `verdict`.

    Whatever they do, nothing outside the cache may change.
    """
    with fuzz_links.placed(folder, files, case["links"]) as linked:
        root = linked.root
        found = verdict(root, case["first"], verified=True)
        wrote = [
            _outcome(lambda: repair_cache(root)),
            _outcome(lambda: CacheWriter.open(root).seal()),
        ]
        finds = [found["find"], *(one["find"] for one in wrote), linked.fault()]
    return {**found, "find": next((find for find in finds if find is not None), None)}


def _outcome(run: Callable[[], object]) -> dict[str, Any]:
    try:
        run()
    except MixkdError as error:
        return {"error": type(error).__name__, "text": str(error)[:300], "find": _fault(error)}
    except BaseException as error:  # whatever else a reader raises is what is looked for
        name = type(error).__name__
        return {"error": name, "text": str(error)[:300], "find": f"{name} is no MixkdError"}
    return {"error": None, "text": "", "find": None}


def _look(root: Path, refused: bool) -> None:
    """Verify and plan a repair, neither of which may fail where reading did."""
    wrong = [finding.message for finding in verify_cache(root, deep=True) if not finding.harmless]
    _require(bool(wrong) or not refused, "a finding of verify, though a reader refused it")
    _require(all(message.isprintable() for message in wrong), "printable findings")
    repair_cache(root, dry_run=True)


def _fault(error: MixkdError) -> str | None:
    text = str(error)
    if not text.isprintable():
        return "the message is not one printable line"
    if len(text) > MESSAGE_LIMIT:
        return f"a message of {len(text)} characters"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "more memory was asked for than a reader may use"
        cause = cause.__context__
    return None


@contextmanager
def written(folder: Path, good: dict[str, bytes], files: dict[str, bytes]) -> Iterator[None]:
    """Put the files into a good cache, and make it good again."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    yield
    for name in files:
        if name in good:
            (folder / name).write_bytes(good[name])
        else:
            (folder / name).unlink()


def serve(root: Path, goods: dict[str, dict[str, bytes]], requests: Any, answers: Any) -> None:
    """Answer requests for a while, in a child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parsers = Parsers()
    parsers.install()
    for _ in range(CASES_OF_A_CHILD):
        case = json.loads(requests.recv_bytes())
        folder, good = root / case["good"], goods[case["good"]]
        files = {name: text.encode("latin-1") for name, text in case["files"].items()}
        parsers.watched, parsers.reached = set(case["watched"]), False
        signal.alarm(SECONDS)
        if case["links"]:
            with limited_memory(MEMORY_BYTES):
                found = linked_verdict(root / LINKED, case, {**good, **files})
        else:
            with written(folder, good, files), limited_memory(MEMORY_BYTES):
                found = verdict(folder, case["first"], case["verified"])
        signal.alarm(0)
        answers.send_bytes(json.dumps({**found, "past": parsers.reached}).encode())


def main(root: Path) -> None:
    requests = Connection(sys.stdin.fileno(), writable=False)
    answers = Connection(os.dup(sys.stdout.fileno()), readable=False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's prints are no answers
    warnings.simplefilter("ignore")
    goods = {}
    for folder in sorted(root.iterdir()):
        paths = [path for path in folder.rglob("*") if path.is_file()]
        goods[folder.name] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
        read_everything(folder, "MANIFEST.json")
        _look(folder, refused=False)
    while True:
        child = os.fork()
        if child == 0:
            try:
                serve(root, goods, requests, answers)
            except EOFError:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 1:
            return
        if status < 0:
            name = signal.Signals(-status).name
            found = {"error": name, "text": "", "find": f"the reader ended by {name}", "past": True}
            answers.send_bytes(json.dumps(found).encode())
            restore(root, goods)


def restore(root: Path, goods: dict[str, dict[str, bytes]]) -> None:
    """Every cache as it was, whatever a killed child left."""
    for folder_name, files in goods.items():
        folder = root / folder_name
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            if path.relative_to(folder).as_posix() not in files:
                path.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
