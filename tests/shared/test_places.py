"""What is said of a folder that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixkd.shared.cache.reader import Cache
from mixkd.shared.errors import DataError, MissingFileError, MixkdError, ModelError
from mixkd.shared.models.locate import locate
from mixkd.shared.places import check_cache
from mixkd.teacher_cache.cli import cache_teacher
from mixkd.teacher_cache.data.load import DataSpec, load

ROOT = Path(__file__).resolve().parents[2]
HUB = "hf download owner/name --repo-type dataset --local-dir owner/name"


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (
            "s3://bucket/rte",
            "s3://bucket/rte: .* found an address, which .*; copy it into a folder",
        ),
        (Path("s3://bucket/rte"), "s3://bucket/rte: .* found an address"),
        ("https://a.b/c.zip", "https://a.b/c.zip: .*on this machine, found an address"),
        ("hf://datasets/owner/name", f"found an address, which cannot be read yet; {HUB}"),
        ("https://huggingface.co/datasets/owner/name/tree/main", HUB),
        ("owner/name", f"found nothing; make one with: cache-teacher .*; or .*Hub: {HUB}"),
        (
            "nowhere",
            "nowhere: .* found nothing; make one with: cache-teacher --task TASK --pairs N$",
        ),
        ("here/nowhere", "found nothing; make one with: cache-teacher --task TASK --pairs N$"),
        ("here/file", "found a file"),
    ],
)
def test_a_cache_that_is_not_here(
    place: str | Path, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/file").touch()
    for look in (check_cache, Cache.open):
        with pytest.raises(MissingFileError, match=found):
            look(place)
    for command in ("info", "verify", "seal", "repair"):
        result = CliRunner().invoke(cache_teacher, [command, str(place)])
        assert isinstance(result.exception, MissingFileError), command


def test_addresses_of_data_and_teachers() -> None:
    with pytest.raises(DataError, match="s3://b/x.csv: .* found an address, which cannot be read"):
        load(DataSpec("mood", "s3://b/x.csv"))
    with pytest.raises(ModelError, match="hf download owner/name --local-dir owner/name"):
        locate("https://huggingface.co/owner/name")


def test_a_missing_cache_is_named_before_torch_is_loaded() -> None:
    code = (
        "import sys\nfrom mixkd.student_train.cli import train_student\n"
        "from mixkd.shared.errors import MissingFileError\n"
        "try: train_student(['nowhere'], standalone_mode=False)\n"
        "except MissingFileError: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'pyarrow'} & {*sys.modules}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")


def test_an_unfinished_cache_says_what_to_do(tmp_path: Path) -> None:
    root = tmp_path / "a cache"
    root.mkdir()
    with pytest.raises(MixkdError, match="found none: this is not a cache; name the folder"):
        Cache.open(root)
    (root / "cache.json").touch()
    seal = f"cache-teacher seal '{root}'"
    with pytest.raises(MixkdError, match=f"run the build again, which goes on; or seal .*{seal}"):
        Cache.open(root)
