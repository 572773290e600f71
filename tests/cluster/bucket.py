"""An object store of our own: a small server, and how fsspec speaks to it as ``bucket://name/key``.

Loaded by tests, by workers before they start, and by processes that tests kill.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import random
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

URL, KEY = "BUCKET_URL", "BUCKET_KEY"


class Handler(http.server.BaseHTTPRequestHandler):
    """GET, HEAD, PUT and DELETE of whole objects, and lists of names; fails as often as it is told to."""

    protocol_version = "HTTP/1.1"

    def serve(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        name, _, key = urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/").partition("/")
        luck = server.luck.random()
        with server.lock:
            server.asked.append((self.command, key))
            if self.headers.get("x-key") != server.key or (self.command not in server.allowed):
                return self.answer(403)
            if luck < server.share / 2:
                return self.answer(server.luck.choice([500, 503]))
            if name not in server.buckets:
                return self.answer(404, b"NoSuchBucket")
            found = self.done(server.buckets[name], key, body)
            if luck < server.share:  # it is done, but nobody is told
                self.close_connection = True
                return None
        return self.answer(*found)

    do_GET = do_HEAD = do_PUT = do_DELETE = serve  # noqa: N815  # names that http.server asks for

    def done(self, objects: dict[str, bytes], key: str, body: bytes) -> tuple[int, bytes]:
        if self.command == "PUT":
            objects[key] = body
            return 200, b""
        if self.command == "DELETE":
            objects.pop(key, None)
            return 204, b""
        if not key:
            prefix = urllib.parse.parse_qs(self.path.partition("?")[2]).get("prefix", [""])[0]
            return 200, json.dumps({k: len(v) for k, v in sorted(objects.items()) if k.startswith(prefix)}).encode()
        return (200, objects[key]) if key in objects else (404, b"NoSuchKey")

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of connections that clients drop."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


class BucketError(OSError):
    """What the server says that is wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Bucket(AbstractFileSystem):
    """Objects of the server."""

    protocol = "bucket"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return str(path).removeprefix("bucket://").strip("/")

    def ask(self, verb: str, path: str, body: bytes | None = None, query: str = "") -> bytes:
        place = urllib.parse.urlsplit(os.environ[URL])
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        try:
            line.request(verb, f"/{urllib.parse.quote(path)}{query}", body, {"x-key": os.environ.get(KEY, "")})
            answer = line.getresponse()
            found = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionResetError("the server hung up") from error
        finally:
            line.close()
        if answer.status == 404:
            raise FileNotFoundError(found.decode() or path)
        if answer.status == 403:
            raise PermissionError("Forbidden (403)")
        if answer.status >= 300:
            raise BucketError(answer.status, f"the server says {answer.status}")
        return found

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        name, _, key = self._strip_protocol(path).partition("/")
        prefix = f"{key}/" if key else ""
        query = urllib.parse.urlencode({"prefix": key})
        found = json.loads(self.ask("GET", f"{name}/", query=f"?{query}"))
        rows: dict[str, Any] = {}
        for one, size in found.items():
            if one == key:
                rows[one] = {"name": f"{name}/{one}", "size": size, "type": "file"}
            elif one.startswith(prefix):
                inner, _, more = one[len(prefix) :].partition("/")
                place = f"{name}/{prefix}{inner}"
                rows[inner] = {"name": place, "size": 0 if more else size, "type": "directory" if more else "file"}
        if not rows:
            raise FileNotFoundError(path)
        return [*rows.values()] if detail else [row["name"] for row in rows.values()]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        return self.ask("GET", self._strip_protocol(path))[start:end]

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        self.ask("PUT", self._strip_protocol(path), bytes(value))

    def exists(self, path: str, **_: Any) -> bool:
        try:
            self.ls(path)
        except FileNotFoundError:
            return False
        return True

    def rm_file(self, path: str) -> None:
        self.ask("DELETE", self._strip_protocol(path))

    def rm(self, path: Any, recursive: bool = False, **_: Any) -> None:
        files = self.find(path) if recursive else [path]
        for file in files:
            self.rm_file(file)


def register() -> None:
    """Let fsspec know."""
    fsspec.register_implementation("bucket", Bucket, clobber=True)


def dask_setup(_worker: Any) -> None:
    register()


@contextmanager
def serving() -> Iterator[Any]:
    """Serve an empty bucket, ``b``, for as long as the context lasts; only to who has the key."""
    register()
    with Quiet(("127.0.0.1", 0), Handler) as server:
        found: Any = server
        found.buckets, found.asked, found.lock = {"b": {}}, [], threading.RLock()
        found.luck, found.share, found.key = random.Random(0), 0.0, "secret"
        found.allowed = {"GET", "HEAD", "PUT", "DELETE"}
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
