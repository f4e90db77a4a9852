"""The seal: which rows are complete, what every file a reader uses must be; published last."""

from __future__ import annotations

from pathlib import Path

from mixkd.shared import files, publish
from mixkd.shared.cache.card import card
from mixkd.shared.cache.header import CacheFile, Identity
from mixkd.shared.cache.layout import KINDS
from mixkd.shared.cache.reader import (
    FILE_LIMIT_BYTES,
    GET_AGAIN,
    Cache,
    names_in,
    read_cache_file,
    read_originals,
    read_seal,
    read_unsealed_examples,
)
from mixkd.shared.cache.seal import COVERED_FILE, CoveredFile, Record, Seal
from mixkd.shared.cache.writer import records
from mixkd.shared.errors import DamagedFileError, UnsealedError
from mixkd.shared.metrics import metrics
from mixkd.shared.plan import complete_prefix


def seal(root: Path) -> Seal:
    """Seal the complete prefix of what is committed; a no-op where the same seal is there.

    Raises:
        UnsealedError: If not all originals are committed.
    """
    file = read_cache_file(root)
    originals = _prefix(records(root, "originals", file.identity))
    pairs = _prefix(records(root, "pairs", file.identity))
    if not originals or originals[-1].stop < file.identity.originals:
        raise UnsealedError(
            root,
            expected=f"all {file.identity.originals} originals committed before a seal",
            found=f"{originals[-1].stop if originals else 0}",
            do="run the build again: it continues",
        )
    _check_present(root, [*originals, *pairs])
    covered = covered_files(root)
    _compare_with_older(root, covered, [*originals, *pairs])
    made = Seal(
        fingerprint=file.identity.fingerprint,
        originals=originals[-1].stop,
        pairs=pairs[-1].stop if pairs else 0,
        shards=(*originals, *pairs),
        files=tuple(covered),
        scores=_scores(root, file, tuple(originals)),
    )
    publish.folder(root / "seals")
    publish.create(root / made.name, made.to_bytes())
    return publish_longest(root)


def publish_longest(root: Path) -> Seal:
    """Make MANIFEST.json the longest seal, looking again until no longer one has appeared."""
    longest = _longest(root)
    while True:
        manifest = root / "MANIFEST.json"
        if not manifest.exists() or manifest.read_bytes() != longest.to_bytes():
            publish.replace(manifest, longest.to_bytes())
        again = _longest(root)
        if again == longest:
            break
        longest = again
    text = card(Cache.open(root)).encode()
    readme = root / "README.md"
    if not readme.exists() or readme.read_bytes() != text:
        publish.replace(readme, text)
    return longest


def _longest(root: Path) -> Seal:
    seals = [read_seal(root, name) for name in names_in(root, "seals")]
    return max(seals, key=lambda found: (found.length, found.digest))


def _prefix(found: list[Record]) -> list[Record]:
    complete = complete_prefix((record.start, record.stop) for record in found)
    return [record for record in found if record.stop <= complete]


def _check_present(root: Path, found: list[Record]) -> None:
    for record in found:
        path = root / record.file
        size = path.stat().st_size if path.is_file() else None
        if size != record.size_bytes:
            raise DamagedFileError(
                path,
                expected=f"{record.size_bytes} bytes, as recorded",
                found="no file" if size is None else f"{size} bytes",
                do="run: cache-teacher repair, then build again",
            )


def covered_files(root: Path) -> list[CoveredFile]:
    """Size and digest of every file beside the shards that a reader uses, ordered by name."""
    names = sorted(
        path.relative_to(root).as_posix()
        for pattern in ("cache.json", "examples/*", "tokenizer/*", "student_init/*/*")
        for path in root.glob(pattern)
    )
    return [_digest(root, name) for name in names if COVERED_FILE.fullmatch(name)]


def check_unchanged(root: Path, identity: Identity) -> None:
    """What a seal would look at, before the teacher runs for hours on what cannot be sealed.

    Raises:
        DamagedFileError: If an older seal says otherwise. Published bytes never change, and a new
            seal must not bless what the older one would refuse.
    """
    found = [record for kind in KINDS for record in records(root, kind, identity)]
    _compare_with_older(root, covered_files(root), found)


def _compare_with_older(root: Path, covered: list[CoveredFile], found: list[Record]) -> None:
    if not names_in(root, "seals"):
        return
    older = _longest(root)
    _check_same_files(root, covered, older)
    sealed = {record.name: record for record in older.shards}
    for record in found:
        if sealed.get(record.name, record) != record:
            raise DamagedFileError(
                root / record.name,
                expected=f"the record that {older.name} has",
                found="another one",
                do="run: cache-teacher repair, then build again",
            )


def _check_same_files(root: Path, covered: list[CoveredFile], older: Seal) -> None:
    sealed, found = ({file.file: file for file in each} for each in (older.files, covered))
    for name in sorted(sealed.keys() | found.keys()):
        if sealed.get(name) != found.get(name):
            raise DamagedFileError(
                root / name,
                expected=_described(sealed.get(name)) + f", as {older.name} says",
                found=_described(found.get(name)),
                do=f"{GET_AGAIN}, or build with another --out",
            )


def _described(file: CoveredFile | None) -> str:
    return f"{file.size_bytes} bytes of sha256 {file.sha256[:12]}…" if file else "no file"


def _digest(root: Path, name: str) -> CoveredFile:
    size = (root / name).stat().st_size
    sha256 = files.sha256(root, name, limit_bytes=FILE_LIMIT_BYTES, size_bytes=size)
    return CoveredFile(name, size, sha256)


def _scores(
    root: Path, file: CacheFile, originals: tuple[Record, ...]
) -> dict[str, dict[str, float]]:
    identity = file.identity
    logits = read_originals(root, originals, identity)
    examples = read_unsealed_examples(root, identity)
    return {
        split: metrics(logits[split], rows.labels, identity.problem_type)
        for split, rows in examples.items()
    }
