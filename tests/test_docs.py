"""Check the pages against the code: every option, command line, path, key and test vector."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import mixkd
from mixkd.shared import plan
from mixkd.shared.cache.header import Header, Identity
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.seal import Seal
from mixkd.shared.examples import Examples, Ragged, texts_sha256
from mixkd.shared.json_values import dumps, sha256_hex
from mixkd.shared.models.digest import files_sha256
from mixkd.shared.random import philox_words
from mixkd.student_train.objective.terms import PRESETS
from mixkd.teacher_cache.data.logits import GivenLogits
from mixkd.teacher_cache.given import given_sha256
from tests.commands import TOOLS, run
from tests.pages import ROOT, blocks, lines, read

README, CHOOSING, FORMAT = map(read, ("README.md", "docs/choosing.md", "docs/format.md"))
PAGES = [
    *("README.md", "CHANGELOG.md", "SECURITY.md", "scripts/bench/README.md", "tests/README.md"),
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
FOLDERS = r"(?:scripts|shared|teacher_cache|student_train|mixkd|tests|docs|\.ci)"
LAUNCH = r"^(accelerate|torchrun) .* -m mixkd\.student_train\.cli"


def command_lines() -> list[str]:
    """Every line of the pages' shell blocks that runs something, continued lines as one."""
    found = []
    for page in PAGES:
        for block in blocks(page, "", "bash", "console"):
            shown = [line.removeprefix("srun ") for line in lines(block)]
            found += [re.sub(LAUNCH, "train-student", line) for line in shown]
    return list(dict.fromkeys(found))


def commands() -> list[tuple[str, click.Command]]:
    groups = TOOLS.items()
    return [(f"{tool} {name}", found) for tool, g in groups for name, found in g.commands.items()]


@pytest.mark.parametrize(("name", "command"), commands())
def test_help_lists_every_option_and_ends_in_an_example(name: str, command: click.Command) -> None:
    shown = CliRunner().invoke(command, ["--help"], terminal_width=100)
    assert shown.exit_code == 0
    for parameter in command.params:
        for flag in parameter.opts if isinstance(parameter, click.Option) else ():
            assert re.search(rf"{flag}\b", shown.output), flag
    last = shown.output.strip().splitlines()
    assert any(re.sub(" (build|train)$", "", name) in line for line in last[-3:])


def test_the_pages_show_both_tools() -> None:
    words = {line.split()[0] for line in command_lines()}
    assert set(TOOLS) <= words
    assert "./scripts/quickstart" in words


@pytest.mark.parametrize("line", [line for line in command_lines() if line.split()[0] in TOOLS])
def test_the_pages_command_lines_parse(line: str) -> None:
    """Parsed by click itself: unknown options, missing ones and wrong types are errors."""
    tool, *words = shlex.split(line)
    group = TOOLS[tool]
    name = words.pop(0) if words[0] in group.commands else group.default
    group.commands[name].make_context(tool, words)


def test_every_option_the_readme_names_exists() -> None:
    known = {flag for _, command in commands() for option in command.params for flag in option.opts}
    known |= {"--slow", "--work", "--help"}  # of the scripts, and click's own
    known |= {"--num_processes", "--nproc-per-node", "--cpu"}  # of the launchers
    known |= {"--repo-type", "--local-dir"}  # of the Hub's client
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", README))
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_path_a_page_names_exists(page: str) -> None:
    """Whole paths from the root, links, modules of this repository, bare names of test files."""
    text = read(page)
    named = re.findall(rf"`((?:\./)?{FOLDERS}/[\w./-]+)`", text)
    named += [m.replace(".", "/") + ".py" for m in re.findall(r"-m (scripts\.[\w.]+)", text)]
    named += [m.replace(".", "/") + ".py" for m in re.findall(r"-m (mixkd\.[\w.]+)", text)]
    named += re.findall(r"`(CHANGELOG\.md|SECURITY\.md)`", text)
    named += re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    for path in named:
        assert (ROOT / path).exists() or (ROOT / page).with_name(path).exists(), path
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert list((ROOT / "tests").rglob(name)), name


def test_the_readmes_python_is_ten_lines_of_names_that_exist() -> None:
    (source,) = blocks("README.md", "python")
    ast.parse(source)
    for name in re.findall(r"\bmixkd\.(\w+)", source):
        assert hasattr(mixkd, name), name
    for name in re.findall(r"\bcache\.(\w+)", source):
        assert hasattr(Cache, name), name
    assert len([line for line in source.splitlines() if line]) <= 10


def test_the_picture_shows_what_its_source_says() -> None:
    """Every label of the source is in the drawing: it was drawn again after the last change."""
    source = (ROOT / "docs" / "system.dot").read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "system.svg").read_text(encoding="utf-8")
    shown = set(re.findall(r"<text [^>]*>(.*?)</text>", drawing))
    labels = re.findall(r'label="(.*?)"', source) + re.findall(r"<td [^>]*>(.*?)</td>", source)
    wanted = {line for label in labels for line in re.split(r"\\n|<br/>", label)}
    assert wanted == {text.replace("&#39;", "'").replace("&#45;", "-") for text in shown}


def test_a_page_has_the_presets_weights() -> None:
    names = ("mle", "sm", "tmkd", "kd")
    for method, weights in PRESETS.items():
        shown = " | ".join(f"{weights.get(name, 0):g}" for name in names)
        assert f"| `{method}` | {shown} |" in CHOOSING


def keys_of_table(heading: str) -> set[str]:
    """The keys in the first column of the one table of the format's page with this heading."""
    (rows,) = re.findall(
        rf"^\| {re.escape(heading)} \|.*\n\|---.*\n((?:\|.*\n)+)", FORMAT, re.MULTILINE
    )
    cells = [row.split("|")[1] for row in rows.splitlines()]
    return {key for cell in cells for key in re.findall(r"`([\w.\[\]]+)`", cell)}


def keys_with_inner(value: dict[str, Any]) -> set[str]:
    """The keys of an object, and those of objects in it as `outer.inner` or `outer[].inner`."""
    keys = set()
    for key, item in value.items():
        if isinstance(item, dict):
            keys |= {f"{key}.{inner}" for inner in item}
        elif isinstance(item[0] if isinstance(item, list) else item, dict):
            keys |= {key, *(f"{key}[].{inner}" for inner in item[0])}
        else:
            keys.add(key)
    return keys


def test_the_formats_examples_are_canonical_and_have_the_keys_of_its_tables() -> None:
    examples = blocks("docs/format.md", "json")
    assert [dumps(json.loads(block)).decode() for block in examples] == examples
    header, record, seal = map(json.loads, examples)
    assert keys_of_table("key of the header") == set(header)
    assert keys_of_table("key of the identity") == keys_with_inner(header["identity"])
    assert keys_of_table("key of a record") == set(record)
    assert keys_of_table("key of a seal") == set(seal)
    fingerprint = sha256_hex(dumps(header["identity"]))
    assert {part["fingerprint"] for part in (header, record, seal)} == {fingerprint}


def test_the_formats_vectors_of_the_plan_are_the_codes() -> None:
    for index, row in re.findall(r"^\| (\d) \|((?: `[0-9a-f]{16}`)+) \|", FORMAT, re.MULTILINE):
        shown = [int(word, 16) for word in re.findall(r"[0-9a-f]{16}", row)]
        assert philox_words(0, int(index), len(shown)).tolist() == shown
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) \| `(\w{8})` \|", FORMAT, re.MULTILINE
    )
    assert len(rows) == 5
    for k, left, right, lam, bits in rows:
        pair = plan.pairs(int(k), int(k) + 1, examples=20, seed=0, beta=0.4)
        assert (pair.left[0], pair.right[0]) == (int(left), int(right))
        assert np.float32(lam).view(np.uint32) == int(bits, 16)
        # Machines may differ by two units in the last place.
        assert abs(int(pair.lam.view(np.uint32)[0]) - int(bits, 16)) <= 2


def test_the_formats_vectors_of_the_digests_are_the_codes(tmp_path: Path) -> None:
    found = re.findall(r"^\|.*\| `([0-9a-f]{64})` \|$", FORMAT, re.MULTILINE)
    texts, ids, ids_of_sets, given, teacher = found
    labels = np.array([1], np.int64)
    assert texts == texts_sha256([pa.array(["good"]), pa.array(["né"])], labels)
    rows = Ragged.from_rows([[101, 7, 102]], np.int32), Ragged.from_rows([[0, 0, 0]], np.int8)
    assert ids == Examples(*rows, labels).ids_sha256()
    assert ids_of_sets == Examples(*rows, np.array([[1, 0, 1]], np.int8)).ids_sha256()
    assert given == given_sha256(GivenLogits("probabilities", {"train": np.array([[0.25, 0.75]])}))
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert teacher == files_sha256(tmp_path, ["model.safetensors", "config.json"])


def test_a_page_shows_the_layout_of_a_cache(tmp_path: Path, data: Path, good_teacher: Path) -> None:
    """The lines of the README's own data, run: made, looked at, checked."""
    root = tmp_path / "cache"
    run(f"cache-teacher --task mood --data {data} --teacher {good_teacher} --pairs 8 --out {root}")
    told = run(f"cache-teacher info {root}")
    assert "train-student" not in told
    assert Cache.open(root).seal.rows.pairs == 8
    assert "in order" in run(f"cache-teacher verify {root} --deep --teacher {good_teacher}")
    shown_layouts = blocks("docs/sharing.md")
    (layout,) = [block for block in shown_layouts if block.startswith("shards/rte/")]
    shown = set(re.findall(r"^  ([\w.]+)/? ", layout, re.MULTILINE))
    assert {path.name for path in root.iterdir()} == shown


SHELL_SCRIPTS = ("scripts/test", "scripts/quickstart", "scripts/environment", ".ci/run")


@pytest.mark.parametrize("name", SHELL_SCRIPTS)
def test_the_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["--work"], ["--work", "a", "b"]])
def test_quickstart_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    found = subprocess.run(
        [ROOT / "scripts" / "quickstart", *arguments], check=False, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.startswith("usage: ./scripts/quickstart")


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("key of the header", Header),
        ("key of the identity", Identity),
        ("key of a record", Record),
        ("key of a seal", Seal),
    ],
)
def test_the_formats_tables_have_the_keys_of_the_code(heading: str, kind: type) -> None:
    """What the code decodes is what the page lists, at the top level of each file."""
    listed = {re.split(r"[.\[]", key)[0] for key in keys_of_table(heading)}
    assert listed == {field.encode_name for field in msgspec.structs.fields(kind)}
