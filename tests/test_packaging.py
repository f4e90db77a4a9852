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
CLIS = ("mixkd.teacher_cache.cli", "mixkd.student_train.cli")
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
        timeout=200,
    )
    return found.stdout + found.stderr if found.returncode else found.stdout


def imported(code: str) -> set[str]:
    """Top-level modules, and ours down to the package, of a fresh interpreter after `code`."""
    report = (
        "import json, sys; print(json.dumps(sorted({m.removeprefix('mixkd.').split('.')[0] "
        "for m in sys.modules})))"
    )
    return set(json.loads(python("-c", f"{code}\n{report}").splitlines()[-1]))


def test_the_wheel_holds_one_package_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("mixkd", *PACKAGES, "scripts", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored, symlinks=True)
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
        f"mixkd/{file.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert modules == expected | {"mixkd/__init__.py", "mixkd/py.typed"}
    assert b"cache-teacher = mixkd.teacher_cache.cli:main" in entry_points
    assert b"train-student = mixkd.student_train.cli:main" in entry_points


def test_everything_works_where_another_package_is_called_shared(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    for command in (*(("-m", cli, "--help") for cli in CLIS), ("-c", "import mixkd; mixkd.Cache")):
        told = python(*command, path=(tmp_path, ROOT), cwd=tmp_path)
        assert "Traceback" not in told
        assert "rror" not in told


def modules_of(package: str) -> str:
    """Code that imports every module of a package."""
    files = sorted((ROOT / package).rglob("*.py"))
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    names = [".".join(("mixkd", *(p[:-1] if p[-1] == "__init__" else p))) for p in parts]
    return "import " + ", ".join(names)


def test_shared_imports_neither_torch_nor_transformers() -> None:
    assert not imported(modules_of("shared")) & {"torch", "transformers", "datasets", "accelerate"}


@pytest.mark.parametrize(("one", "other"), [PACKAGES[1:], PACKAGES[:0:-1]])
def test_the_two_tools_never_import_each_other(one: str, other: str) -> None:
    found = imported(modules_of(one))
    assert one in found
    assert other not in found


COMMANDS = (
    ("mixkd.teacher_cache.cli", ()),
    ("mixkd.teacher_cache.cli", ("build",)),
    ("mixkd.teacher_cache.cli", ("finetune",)),
    ("mixkd.teacher_cache.cli", ("info",)),
    ("mixkd.teacher_cache.cli", ("seal",)),
    ("mixkd.teacher_cache.cli", ("verify",)),
    ("mixkd.teacher_cache.cli", ("repair",)),
    ("mixkd.student_train.cli", ()),
    ("mixkd.student_train.cli", ("train",)),
    ("mixkd.student_train.cli", ("evaluate",)),
    ("mixkd.student_train.cli", ("predict",)),
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
