"""A stand-in for the Hugging Face Hub: enough of its HTTP interface for the real clients to load.

    with serve(folder) as hub:
        environment["HF_ENDPOINT"] = hub.endpoint

`folder` holds `models/OWNER/NAME/...` and `datasets/OWNER/NAME/...`; every file in them is one file
of one commit on the branch main. What is answered is what huggingface_hub and datasets ask for when
they load by name: a repository's description, its file tree, files by path, and HEAD and GET of a
file; and whether a card's metadata are valid (`cards.py`). Everything else is 404, and listed in
`hub.unknown`, so that a test can see a new question of a new client.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub.cards import RefusedCardError, check_card

BRANCH = "main"
# What clients ask for on the side and do well without: no repository, so it is 404 and not listed.
ASIDE = ("/api/agent-harnesses",)
API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?(.*)"
)
RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Hub:
    """A running stand-in.

    Attributes:
        requests: "METHOD path" of everything asked, in order.
        unknown: Those that had no answer because no such thing is implemented here.
    """

    folder: Path
    endpoint: str = ""
    requests: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def repository(self, kind: str, name: str) -> Repository | None:
        folder = self.folder / kind / name
        return Repository(kind, name, folder) if folder.is_dir() else None


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of files as one commit."""

    kind: str
    name: str
    folder: Path

    @property
    def files(self) -> dict[str, bytes]:
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    @property
    def commit(self) -> str:
        """40 hex digits that change with the files."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path, content in self.files.items():
            digest.update(f"{path} {blob(content)}\n".encode())
        return digest.hexdigest()

    def has(self, revision: str) -> bool:
        return revision in (BRANCH, self.commit)

    def described(self) -> dict[str, Any]:
        return {
            "_id": "0" * 24,
            "id": self.name,
            "sha": self.commit,
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "cardData": self.card(),
            "siblings": [{"rfilename": path} for path in self.files],
        }

    def card(self) -> dict[str, Any]:
        """What README.md says between its two lines of three dashes."""
        parts = self.files.get("README.md", b"").decode().split("---\n", 2)
        return dict(yaml.safe_load(parts[1])) if len(parts) == 3 else {}

    def tree(self, under: str, recursive: bool) -> list[dict[str, Any]] | None:
        """Entries below a folder, or None if there is no such folder."""
        prefix = f"{under}/" if under else ""
        below = [path for path in self.files if path.startswith(prefix)]
        if under and not below:
            return None
        folders = {
            prefix + "/".join(parts[:depth])
            for path in below
            for parts in [path.removeprefix(prefix).split("/")]
            for depth in range(1, len(parts))
        }
        entries = sorted({*below, *folders})
        if not recursive:
            entries = [path for path in entries if "/" not in path.removeprefix(prefix)]
        return [self.entry(path) for path in entries]

    def entry(self, path: str) -> dict[str, Any]:
        content = self.files.get(path)
        if content is None:
            return {"type": "directory", "oid": blob(path.encode()), "size": 0, "path": path}
        return {"type": "file", "oid": blob(content), "size": len(content), "path": path}

    def paths(self, wanted: list[str]) -> list[dict[str, Any]]:
        known = {entry["path"] for entry in self.tree("", recursive=True) or []}
        return [self.entry(path) for path in wanted if path in known]


def blob(content: bytes) -> str:
    """Git's name of a file's content."""
    framed = b"blob %d\0" % len(content) + content
    return hashlib.sha1(framed, usedforsecurity=False).hexdigest()


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Serve `folder` on a free port of the loopback interface until the block ends."""
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(b"")

        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def answer(self, body: bytes) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            url = urlsplit(self.path)
            if url.path == "/api/validate-yaml":
                self.validate(body)
                return
            path, query = unquote(url.path), parse_qs(url.query)
            if match := API.fullmatch(path):
                kind, name, verb, revision, rest = match.groups()
                self.api(kind, name, verb, unquote(revision or BRANCH), rest, query, body)
            elif match := RESOLVE.fullmatch(path):
                kind, name, revision, file = match.groups()
                self.file(kind or "models", name, unquote(revision), file)
            else:
                self.unknown()

        def validate(self, body: bytes) -> None:
            asked = json.loads(body)
            try:
                check_card(asked["content"], asked["repoType"])
            except RefusedCardError as error:
                self.reply(400, str(error).encode(), "text/plain", {})
            else:
                self.json({"errors": [], "warnings": []})

        def api(
            self,
            kind: str,
            name: str,
            verb: str | None,
            revision: str,
            rest: str,
            query: dict[str, list[str]],
            body: bytes,
        ) -> None:
            repository = self.find(kind, name, revision)
            if repository is None:
                return
            if verb in (None, "revision") and not rest:
                self.json(repository.described())
            elif verb == "tree":
                recursive = query.get("recursive", [""])[0].lower() in ("1", "true")
                entries = repository.tree(rest.strip("/"), recursive)
                if entries is None:
                    self.error("EntryNotFound", 404)
                else:
                    self.json(entries)
            elif verb == "paths-info" and not rest:
                self.json(repository.paths(_wanted(self.headers["Content-Type"], body)))
            else:
                self.unknown()

        def file(self, kind: str, name: str, revision: str, path: str) -> None:
            repository = self.find(kind, name, revision)
            if repository is None:
                return
            content = repository.files.get(path)
            commit = {"X-Repo-Commit": repository.commit}
            if content is None:
                self.error("EntryNotFound", 404, commit)
                return
            headers = {"ETag": f'"{blob(content)}"', "Accept-Ranges": "bytes", **commit}
            status, content = self.ranged(content, headers)
            self.reply(status, content, "application/octet-stream", headers)

        def ranged(self, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if asked is None:
                return 200, content
            start = int(asked[1])
            stop = min(int(asked[2]) + 1, len(content)) if asked[2] else len(content)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            return 206, content[start:stop]

        def find(self, kind: str, name: str, revision: str) -> Repository | None:
            repository = hub.repository(kind, name)
            if repository is None:
                self.error("RepoNotFound", 401)  # the Hub does not tell private from missing
            elif not repository.has(revision):
                self.error("RevisionNotFound", 404)
            else:
                return repository
            return None

        def unknown(self) -> None:
            if self.path not in ASIDE:
                hub.unknown.append(f"{self.command} {self.path}")
            self.error("NotFound", 404)

        def error(self, code: str, status: int, headers: dict[str, str] | None = None) -> None:
            more = {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})}
            self.reply(status, json.dumps({"error": code}).encode(), "application/json", more)

        def json(self, value: object) -> None:
            self.reply(200, json.dumps(value).encode(), "application/json", {})

        def reply(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing on stderr: `hub.requests` has it."""

    return Handler


def _wanted(kind: str | None, body: bytes) -> list[str]:
    """The paths of a paths-info request, sent as a form or as JSON."""
    if kind and kind.startswith("application/json"):
        found = json.loads(body)["paths"]
        return [found] if isinstance(found, str) else list(found)
    return parse_qs(body.decode()).get("paths", [])
