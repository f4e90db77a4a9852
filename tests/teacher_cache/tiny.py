"""Whole builds with the `options` of `conftest.py`, and changes to them."""

from __future__ import annotations

from typing import Any

from mixkd.teacher_cache.options import BuildOptions
from mixkd.teacher_cache.run import build_cache


def build(options: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = build_cache(BuildOptions(**{**options, **changes}))
    assert found is not None
    return found.to_json()


def manifest(options: dict[str, Any]) -> bytes:
    return (options["out"] / "MANIFEST.json").read_bytes()
