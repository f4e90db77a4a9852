"""The list of caches with hostile students, and what its parts share; see `make_students.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.registry import Hostile, Spoil
from tests.hostile.sign import sign

START, TOKENIZER = "student_init/layers-0", "tokenizer"
CONFIG, WEIGHTS = f"{START}/config.json", f"{START}/model.safetensors"
TOKENIZER_CONFIG, VOCABULARY = f"{TOKENIZER}/tokenizer_config.json", f"{TOKENIZER}/tokenizer.json"
UNSAFE, MALFORMED, MODEL = "UnsafeFileError", "MalformedError", "ModelError"
PADDING, MISSING = "PaddingDependentError", "MissingFileError"
MEMORY_BYTES = 256 * 2**20

STUDENTS: dict[str, Hostile] = {}
LOADED: dict[str, Hostile] = {}
Change = Callable[[Any], Any]


def student(name: str, *errors: str, memory_bytes: int = MEMORY_BYTES) -> Callable[[Spoil], Spoil]:
    """Register a function that spoils a cache; without errors it is harmless."""

    def register(spoil: Spoil) -> Spoil:
        table = STUDENTS if errors else LOADED
        if name in table:
            raise ValueError(f"two hostile students are called {name}")
        table[name] = Hostile("arrow", errors, spoil, memory_bytes)
        return spoil

    return register


def read_json(root: Path, name: str) -> Any:
    return json.loads((root / name).read_bytes())


def edit_json(root: Path, name: str, changes: dict[str, Any]) -> None:
    """Change keys of a sealed JSON file; a dot leads one level down."""
    value = read_json(root, name)
    for path, new in changes.items():
        *above, last = path.split(".")
        place = value
        for step in above:
            place = place.setdefault(step, {})
        place[last] = new
    sign(root, {name: json.dumps(value).encode()})


def put(name: str, content: bytes | Callable[[], bytes]) -> Spoil:
    """A spoiler that puts a file, covered by the seal, into the cache."""

    def spoil(root: Path, bait: Path) -> None:
        sign(root, {name: content() if callable(content) else content})

    return spoil


def table(prefix: str, file: str, cases: dict[str, tuple[dict[str, Any], tuple[str, ...]]]) -> None:
    """Register changes of a JSON file; "BAIT" in a value becomes the bait's path."""
    for key, (changes, errors) in cases.items():

        def spoil(root: Path, bait: Path, changes: dict[str, Any] = changes) -> None:
            text = json.dumps(changes).replace("BAIT", json.dumps(str(bait))[1:-1])
            edit_json(root, file, json.loads(text))

        student(f"{prefix}_{key}", *errors)(spoil)
