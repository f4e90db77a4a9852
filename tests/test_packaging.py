"""What is shipped, what imports what, and what happens if a package `shared` is somebody else's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shared", "student_train", "teacher_cache")
CLIS = ("teacher_cache.cli", "student_train.cli")
HEAVY = {"accelerate", "datasets", "pyarrow", "scipy", "sklearn", "torch", "transformers"}


def python(*arguments: object, path: tuple[Path, ...] = (ROOT,), cwd: Path = ROOT) -> str:
    """stdout of a fresh interpreter that finds packages in `path` first."""
    found = subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=55,
    )
    return found.stdout + found.stderr if found.returncode else found.stdout


def imported(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after running `code`."""
    report = "import json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    return set(json.loads(python("-c", f"{code}\n{report}").splitlines()[-1]))


def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in (*PACKAGES, "scripts", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    arguments = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    wheels = tmp_path / "wheels"
    told = python("-m", "pip", "wheel", *arguments, "--wheel-dir", wheels, source, cwd=tmp_path)
    (wheel,) = wheels.glob("mixkd-*.whl") if wheels.is_dir() else pytest.fail(told)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(
            next(name for name in names if name.endswith("entry_points.txt"))
        )
    modules = {name for name in names if ".dist-info/" not in name}
    expected = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert modules == expected
    assert b"cache-teacher = teacher_cache.cli:main" in entry_points
    assert b"train-student = student_train.cli:main" in entry_points


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize("content", ["", "FORMAT_VERSIONS = ()\n"])
def test_a_foreign_package_named_shared_is_named(tmp_path: Path, cli: str, content: str) -> None:
    foreign = tmp_path / "shared"
    foreign.mkdir()
    (foreign / "__init__.py").write_text(content, encoding="utf-8")
    told = python("-m", cli, "--help", path=(tmp_path, ROOT), cwd=tmp_path)
    assert told.startswith("error: ")
    assert str(foreign) in told
    assert "another package of that name" in told
    assert "Traceback" not in told


def modules_of(package: str) -> str:
    """Code that imports every module of a package."""
    files = sorted((ROOT / package).rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    names = [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]
    return "import " + ", ".join(names)


def test_shared_imports_neither_torch_nor_transformers() -> None:
    assert not imported(modules_of("shared")) & {"torch", "transformers", "datasets", "accelerate"}


@pytest.mark.parametrize(("one", "other"), [PACKAGES[1:], PACKAGES[:0:-1]])
def test_the_two_tools_never_import_each_other(one: str, other: str) -> None:
    found = imported(modules_of(one))
    assert one in found
    assert other not in found


COMMANDS = (
    ("teacher_cache.cli", ()),
    ("teacher_cache.cli", ("build",)),
    ("teacher_cache.cli", ("finetune",)),
    ("teacher_cache.cli", ("info",)),
    ("teacher_cache.cli", ("seal",)),
    ("teacher_cache.cli", ("verify",)),
    ("teacher_cache.cli", ("repair",)),
    ("student_train.cli", ()),
)


@pytest.mark.parametrize(("cli", "words"), COMMANDS)
def test_help_imports_nothing_heavy(cli: str, words: tuple[str, ...]) -> None:
    code = (
        f"import sys, contextlib, {cli} as cli\n"
        f"sys.argv[1:] = {[*words, '--help']!r}\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):\n"
        "    cli.main()\n"
    )
    assert not imported(code) & HEAVY
