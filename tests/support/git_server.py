"""A real Git repository, served over HTTP on loopback by Git's own `git http-backend`."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class GitServer:
    """Repositories under one folder, at one origin; it notes what was asked of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        #: Answers some paths otherwise than Git would: status, headers.
        self.instead: dict[str, tuple[int, dict[str, str]]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def log_message(self, *_: object) -> None:
                pass

            def _serve(self) -> None:
                server.requests.append(self.path)
                parts = urlsplit(self.path)
                for start, (status, headers) in server.instead.items():
                    if parts.path.startswith(start):
                        self.send_response(status)
                        for name, value in headers.items():
                            self.send_header(name, value)
                        self.end_headers()
                        return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=body,
                    capture_output=True,
                    env={
                        "PATH": os.environ["PATH"],
                        "GIT_PROJECT_ROOT": str(server.root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "PATH_INFO": parts.path,
                        "QUERY_STRING": parts.query,
                        "REQUEST_METHOD": self.command,
                        "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                        "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                        "GIT_CONFIG_COUNT": "1",
                        "GIT_CONFIG_KEY_0": "safe.directory",
                        "GIT_CONFIG_VALUE_0": "*",
                    },
                    check=False,
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                lines = [line.partition(":") for line in head.decode().split("\r\n")]
                status = next((int(value.split()[0]) for name, _, value in lines if name == "Status"), 200)
                self.send_response(status)
                for name, _, value in lines:
                    if name != "Status":
                        self.send_header(name, value.strip())
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def url(self, name: str) -> str:
        """The address of a repository."""
        return f"{self.origin}/{name}"

    def commit(self, name: str, files: dict[str, str | bytes | None]) -> str:
        """Write some files and commit them, in a new repository at first; None removes one. Returns the commit."""
        folder = self.root / name
        if not folder.exists():
            folder.mkdir(parents=True)
            self.git(name, "init", "--quiet", "--initial-branch=main")
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink()
            else:
                target.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git(name, "add", "--all")
        self.git(name, "commit", "--quiet", "--message=As it is now.")
        return self.git(name, "rev-parse", "HEAD").strip()

    def git(self, name: str, *words: str) -> str:
        """Run Git in a repository."""
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", *who, *words],
            cwd=self.root / name,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """A server for one test or several."""
    if shutil.which("git") is None:
        raise AssertionError("git is needed, which the checkout needed as well")
    running = GitServer(root)
    try:
        yield running
    finally:
        running.http.shutdown()
        running.http.server_close()
