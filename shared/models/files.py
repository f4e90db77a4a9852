"""Models by name, for teachers and students alike: their files, a digest over them, and quiet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixkd.shared.errors import ModelError, printable

CHUNK_BYTES = 1 << 20
# The files of a model on the Hub that are fetched. Its subfolders hold exports to other runtimes.
FETCHED = ["*.json", "*.txt", "*.model", "*.safetensors"]
NOT_FETCHED = ["*/*"]
PROPOSAL = "use an encoder such as BERT, RoBERTa, MPNet or DeBERTa"


def model_folder(name: str) -> Path:
    """The folder of a model: a local one, or a snapshot of the Hub's; an existing path wins.

    Raises:
        ModelError: If it is a file, or neither a folder nor a model that can be fetched.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(
            name,
            expected="a model's folder",
            found="a file",
            do="give the folder that holds its config.json",
        )
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(
            name,
            expected="a model's folder or a Hub id such as textattack/bert-base-uncased-RTE",
            found="no such folder",
            do="check the path",
        )
    return _fetch(name)


def _fetch(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=FETCHED, ignore_patterns=NOT_FETCHED))
    except Exception as error:  # the client's transport changes with its version, errors included
        raise ModelError(
            hub_id,
            expected="a folder, or a model that the Hub gives out",
            found=first_line(error),
            do="check the name and the connection, or give a folder",
        ) from error


def files_sha256(folder: Path, names: Iterable[str]) -> str:
    """sha256 over files of a folder, in order of their names.

    Each file is framed: uint32 length of its name, the name, uint64 size in bytes (both little
    endian), the content.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        encoded = name.encode()
        with (folder / name).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            digest.update(len(encoded).to_bytes(4, "little") + encoded)
            digest.update(size.to_bytes(8, "little"))
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def check_vocabulary(where: object, tokenizer: Any, embeddings: int, do: str) -> None:
    """Refuse a tokenizer of more ids than its model has embeddings.

    Raises:
        ModelError: Naming both numbers, and what to `do`.
    """
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= embeddings:
        raise ModelError(
            where,
            expected=f"embeddings for the tokenizer's ids, up to {largest}",
            found=f"{embeddings} embeddings",
            do=do,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no reports of made-up weights from `transformers`: what matters is said here."""
    import transformers

    library: Any = transformers.utils.logging
    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()


def first_line(error: Exception) -> str:
    """The class and the first line of an error from a library, short enough for a message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {printable(lines[0])[:200]}"
