"""A Hugging Face Hub on loopback, as far as fetching and committing a model repository goes.

It keeps real semantics where a client could get them wrong: commits are named by what they hold, small files are git
blobs and weights are LFS objects whose hashes it recomputes from the bytes that arrive, writing needs the token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LFS = (".safetensors", ".gguf", ".bin", ".apr")
TOKEN = "hf_write_token_of_the_fake_hub"


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for path, content in sorted(files.items()):
            digest.update(path.encode() + b"\0" + content)
        sha = digest.hexdigest()
        self.commits[sha] = dict(files)
        self.refs[ref] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        revision = self.refs.get(revision, revision)
        return revision if revision in self.commits else None


class FakeHub:
    """`with FakeHub() as hub: hub.repository("org/name").commit({"config.json": b"{}"})`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []  # method, path, authorization
        self.corrupt: set[str] = set()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._get(body=False)

    def do_GET(self) -> None:
        self._get(body=True)

    def do_POST(self) -> None:
        self._note()
        path = urlsplit(self.path).path
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            wanted = json.loads(raw)
            name = (
                f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            )
            created = self.hub.repository(name)
            created.private = bool(wanted.get("private"))
            if not created.commits:
                created.commit({})
            return self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})
        if parts[:2] == ["api", "models"] and parts[4] == "preupload":
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(LFS) else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(raw)["files"]
            ]
            return self._json({"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": o["oid"],
                    "size": o["size"],
                    "actions": {"upload": {"href": f"{self.hub.url}/upload/{o['oid']}"}},
                }
                for o in json.loads(raw)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")
        if parts[:2] == ["api", "models"] and parts[4] == "commit":
            return self._commit("/".join(parts[2:4]), unquote(parts[5]), raw)
        self._json({"error": f"no such path {path}"}, 404)

    def do_PUT(self) -> None:
        self._note()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.uploads[hashlib.sha256(content).hexdigest()] = content
        self._send(200, b"", {})

    def _commit(self, name: str, ref: str, raw: bytes) -> None:
        repository = self.hub.repository(name)
        files = dict(repository.commits.get(repository.refs.get(ref, ""), {}))
        for line in raw.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                content = self.hub.uploads[value["oid"]]
                files[value["path"]] = content + (b"!" if value["path"] in self.hub.corrupt else b"")
        sha = repository.commit(files, ref)
        self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha})

    def _get(self, *, body: bool) -> None:
        self._note()
        split = urlsplit(self.path)
        parts = [unquote(p) for p in split.path.strip("/").split("/")]
        query = parse_qs(split.query)
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
        else:
            name, rest = "/".join(parts[:2]), parts[2:]
        repository = self.hub.repositories.get(name)
        hidden = repository is not None and repository.private
        if repository is None or (hidden and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            return self._json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        if repository.gated:
            return self._json({"error": "Access is restricted"}, 403, {"X-Error-Code": "GatedRepo"})
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repository.resolve(revision)
        if commit is None:
            return self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files = repository.commits[commit]
        if rest[:1] == ["resolve"]:
            return self._file(files, "/".join(rest[2:]), commit, body=body)
        if rest[:1] == ["tree"]:
            return self._json([{"type": "file", "path": p, **_blob(p, c)} for p, c in sorted(files.items())])
        blobs = "blobs" in query or "securityStatus" in query
        siblings = [{"rfilename": p, **(_sibling(p, c) if blobs else {})} for p, c in sorted(files.items())]
        self._json(
            {"id": name, "modelId": name, "sha": commit, "private": repository.private, "siblings": siblings}
        )

    def _file(self, files: dict[str, bytes], path: str, commit: str, *, body: bool) -> None:
        if path not in files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = files[path]
        blob = _blob(path, content)
        etag = blob["lfs"]["oid"] if "lfs" in blob else blob["oid"]
        if path in self.hub.corrupt and body:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._send(
            200, content if body else None, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, len(content)
        )

    def _json(
        self,
        value: object,
        status: int = 200,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": kind, **(headers or {})})

    def _send(
        self, status: int, body: bytes | None, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if body is not None else length or 0))
        self.end_headers()
        if body is not None and self.command != "HEAD":
            self.wfile.write(body)

    def _note(self) -> None:
        self.hub.requests.append((self.command, self.path, self.headers.get("Authorization", "")))


def _blob(path: str, content: bytes) -> dict[str, object]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    blob: dict[str, object] = {"oid": git, "size": len(content)}
    if path.endswith(LFS):
        oid = hashlib.sha256(content).hexdigest()
        blob["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
    return blob


def _sibling(path: str, content: bytes) -> dict[str, object]:
    blob = _blob(path, content)
    sibling: dict[str, object] = {"size": len(content), "blobId": blob["oid"]}
    if path.endswith(LFS):
        sha256 = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return sibling
