"""A Hub of our own on 127.0.0.1: the routes and headers that huggingface_hub uses."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_stand_in_token_0123456789"
LARGE = 20_000
"""From this size on a file is stored as a large one, by its sha256."""


@dataclass
class Repository:
    """A repository: the files of each commit, and what its branches and tags point to."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        digest = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[digest] = files
        self.refs[ref] = digest
        return digest


@dataclass
class StandIn:
    """What is on the Hub, what was asked of it, and how it misbehaves.

    `cut` ends the body of files with that name early, `stall` waits with them in between,
    `refused_fields` are those that a card of each kind of repository may not have, and `failing`
    lets it judge no card.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut: str = ""
    stall: threading.Event | None = None
    refuse_writes: bool = False
    refuse_uploads: bool = False
    refused_fields: dict[str, set[str]] = field(default_factory=dict)
    failing: bool = False

    def put(self, name: str, folder: Path, **more: bytes) -> Repository:
        """Publish the files of `folder` as the main branch of `name`."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        repository = self.repositories.setdefault(name, Repository())
        repository.commit(files | more)
        return repository

    def main(self, name: str) -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.refs["main"]]

    def downloads(self) -> list[str]:
        return [line for line in self.requests if line.startswith("GET") and "/resolve/" in line]


class Handler(BaseHTTPRequestHandler):
    """Answers as the Hub does."""

    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self._begin()
        # A revision's slashes are quoted: it is one part.
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if known:
                self._json({"name": "me", "type": "user", "orgs": [], "auth": {}})
            else:
                self._json({"error": "Invalid credentials"}, 401)
        elif parts[:2] == ["api", "models"] and len(parts) in (4, 6):
            self._info("/".join(parts[2:4]), parts[5] if len(parts) == 6 else "main")
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._json({"error": "no such route"}, 404)

    def do_POST(self) -> None:
        path = self._begin()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            self._validate(json.loads(body))
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials"}, 401)
        elif self.hub.refuse_writes:
            self._json({"error": "no write access"}, 403)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif parts[4:5] == ["preupload"]:
            files = [
                {
                    "path": it["path"],
                    "uploadMode": "lfs" if it["size"] >= LARGE else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for it in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif parts[4:5] == ["commit"]:
            self._commit("/".join(parts[2:4]), body)
        else:
            self._json({"error": "no such route"}, 404)

    def do_PUT(self) -> None:
        path = self._begin()
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.refuse_uploads:
            self._json({"error": "no room"}, 403)
            return
        self.hub.large[path.rpartition("/")[2]] = data
        self._send(200, b"")

    def _begin(self) -> str:
        self.hub.requests.append(f"{self.command} {self.path}")
        return unquote(urlsplit(self.path).path)

    def _found(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.hub.repositories.get(name)
        if repository is None or (
            repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        ):
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self._json({"error": "Invalid rev"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, repository.commits[commit]

    def _info(self, name: str, revision: str) -> None:
        if (found := self._found(name, revision)) is None:
            return
        commit, files = found
        blobs = parse_qs(urlsplit(self.path).query).get("blobs")
        siblings = [
            {"rfilename": path} | ({"size": len(data), "blobId": "0"} if blobs else {})
            for path, data in files.items()
        ]
        private = self.hub.repositories[name].private
        self._json({"id": name, "sha": commit, "siblings": siblings, "private": private})

    def _file(self, name: str, revision: str, path: str) -> None:
        if (found := self._found(name, revision)) is None:
            return
        if self.hub.repositories[name].gated:
            self._json({"error": "Access is restricted"}, 403, {"X-Error-Code": "GatedRepo"})
            return
        commit, files = found
        if path not in files:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        data = files[path]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit}
        begin = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if begin else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        if self.hub.cut and path.endswith(self.hub.cut) and self.command == "GET":
            # A whole answer by its own account, of a file that was cut on the way.
            data = data[: len(data) // 2]
            begin = 0
        elif begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if self.command == "GET":
            self._body(data[begin:])

    def _body(self, data: bytes) -> None:
        half = len(data) // 2
        self.wfile.write(data[:half])
        if self.hub.stall and len(data) >= LARGE:
            self.hub.stall.wait(20)
        self.wfile.write(data[half:])

    def _validate(self, card: dict[str, str]) -> None:
        if self.hub.failing:
            self._json({"error": "Internal Error"}, 500)
            return
        refused = self.hub.refused_fields.get(card["repoType"], set())
        names = re.findall(r"^(\w+):", card["content"].split("\n---\n")[0], re.MULTILINE)
        said = [f'"{name}" is not allowed' for name in names if name in refused]
        status = 400 if said else 200
        if self.headers.get("Accept") == "text/plain":
            lines = "\n".join([*(f"- Error: {each}" for each in said), "-" * 73])
            self._send(status, lines.encode(), {"Content-Type": "text/plain"})
        else:
            errors = [{"message": each} for each in said]
            self._json({"errors": errors, "warnings": []}, status)

    def _create(self, wish: dict[str, object]) -> None:
        name = f"{wish.get('organization') or 'me'}/{wish['name']}"
        if name in self.hub.repositories:
            self._json({"error": "exists", "url": f"{self.hub.url}/{name}"}, 409)
            return
        private = bool(wish.get("private")) or wish.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=private)
        self.hub.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def _batch(self, wish: dict[str, list[dict[str, object]]]) -> None:
        objects = [
            {
                "oid": it["oid"],
                "size": it["size"],
                "actions": {"upload": {"href": f"{self.hub.url}/lfs/{it['oid']}", "header": {}}},
            }
            for it in wish["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")

    def _commit(self, name: str, body: bytes) -> None:
        files = dict(self.hub.main(name))
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                files.pop(value["path"])
        commit = self.hub.repositories[name].commit(files)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def _json(
        self,
        value: object,
        status: int = 200,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": kind} | (headers or {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def stand_in_hub() -> Iterator[StandIn]:
    """A Hub that answers until the context ends."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
