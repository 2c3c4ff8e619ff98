"""What reads a repository: a process of its own for each, with limits, that ends when it is done.

Run by `romanhub.community.repositories.reader` in an empty folder, as nobody where the platform runs as root. It
reads one request in JSON from its standard input and writes one answer. Nothing is checked out: notebooks come out
of Git's own store one by one, so that no link, filter, hook or attribute of the repository has anything to act
upon.
"""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from romanhub.client.sidecars import LARGEST, SidecarError, parse_sidecar, sidecar_name, sidecar_of
from romanhub.models.community import FILE_NAME, LARGEST_NOTEBOOK

#: How much memory one read may take, in bytes; how much processor time, in seconds; how large what Git fetches may
#: be, in bytes.
MEMORY, SECONDS, LARGEST_PACK = 2 << 30, 60, 300_000_000

#: A repository has no more files than this, and no more notebooks with a sidecar.
MOST_FILES, MOST_NOTEBOOKS = 20_000, 50

#: All notebooks that are taken together, in bytes.
LARGEST_ANSWER = 60_000_000

#: What Git says where it could not do as asked, and what we say of it.
_REASONS = (
    (
        r"could not read Username|Authentication failed|error: 403",
        "It asks for a password: only public ones are read.",
    ),
    (r"not found|error: 404", "There is no repository at this address, or it is not public."),
    (r"Remote branch .* not found|couldn't find remote ref", "It has no such branch."),
    (r"returned error: 30\d", "Its address leads to another one. Register that one."),
    (r"dumb http transport", "Its server speaks Git's oldest protocol alone, which always sends everything."),
    (r"File too large|file size limit|SIGXFSZ|signal 25", "It is larger than a repository can be here."),
    (r"Out of memory|signal 9|signal 24", "It takes too much time or memory to be read."),
    (r"not allowed", "Its address leads to another protocol than HTTPS."),
    (
        r"too slow|transfer closed|early EOF|timed out|Could not|Failed to|Connection|SSL",
        "Its server does not answer.",
    ),
)


class ReadingError(Exception):
    """The repository cannot be read; the message says why."""


def main() -> None:
    """Answer one request."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_PACK, LARGEST_PACK))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    request = json.loads(sys.stdin.buffer.read(100_000))
    try:
        answer = read(request)
    except ReadingError as error:
        answer = {"problem": str(error)}
    json.dump(answer, sys.stdout)


def read(request: dict[str, Any]) -> dict[str, Any]:
    """Return the commit and the notebooks, or that there is no other commit than the one that is known."""
    git = _Git(Path.cwd(), request)
    branch, known = request["branch"], request["known"]
    named = f"refs/heads/{branch}" if branch else "HEAD"
    listed = git.run("ls-remote", "--", request["url"], named).decode(errors="replace")
    commits = [line.split("\t")[0] for line in listed.splitlines() if line.endswith(f"\t{named}")]
    if not commits:
        raise ReadingError("It has no such branch." if branch else "It is empty.")
    if commits[0] == known:
        return {"unchanged": True}
    chosen = [f"--branch={branch}"] if branch else []
    shallow = ["--bare", "--depth=1", "--single-branch", "--no-tags", "--template="]
    git.run("clone", "--quiet", *shallow, *chosen, "--", request["url"], "repository")
    return _Found(git, request["folder"]).answer()


class _Git:
    """Git, without anything of the machine's or the person's own settings."""

    def __init__(self, folder: Path, request: dict[str, Any]) -> None:
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": request["scheme"],
            "GIT_LFS_SKIP_SMUDGE": "1",
            **({"GIT_SSL_CAINFO": ca} if (ca := request["authorities"]) else {}),
        }
        said = {
            "core.hooksPath": "/dev/null",
            "credential.helper": "",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "20",
            # One file for what comes, so that one limit holds.
            "fetch.unpackLimit": "1",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "pack.threads": "1",
            **({"http.curloptResolve": request["pin"]} if request["pin"] else {}),
        }
        self._options = [word for name, value in said.items() for word in ("-c", f"{name}={value}")]
        self._folder = folder

    def run(self, *words: str, at: str = ".") -> bytes:
        """Run a command of Git's and return what it printed. Raises ReadingError."""
        done = subprocess.run(
            ["/usr/bin/git", *self._options, *words],
            cwd=self._folder / at,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace") + f" signal {-done.returncode}" * (done.returncode < 0)
            sys.stderr.write(said)
            raise ReadingError(
                next((ours for theirs, ours in _REASONS if re.search(theirs, said)), "Git could not read it.")
            )
        return done.stdout


class _Found:
    """What is in a repository's folder."""

    def __init__(self, git: _Git, folder: str) -> None:
        self._git = git
        within = ["--", f"{folder}/"] if folder else []
        self._files: dict[str, tuple[str, str, int]] = {}
        lines = git.run("ls-tree", "-r", "-z", "-l", "HEAD", *within, at="repository").split(b"\0")
        if len(lines) > MOST_FILES:
            raise ReadingError(f"It has more than {MOST_FILES} files. Name the folder that has the notebooks.")
        for line in filter(None, lines):
            about, _, path = line.decode(errors="replace").partition("\t")
            mode, _, digest, size = about.split()
            self._files[path] = (mode, digest, int(size) if size.isdigit() else 0)

    def answer(self) -> dict[str, Any]:
        """Return every notebook that has a sidecar, or what is wrong with one."""
        commit = self._git.run("rev-parse", "HEAD", at="repository").decode().strip()
        notebooks: list[dict[str, Any]] = []
        size = 0
        for path in sorted(self._files):
            if not path.endswith(".ipynb") or ".ipynb_checkpoints/" in path:
                continue
            try:
                found = self._notebook(path)
            except (ReadingError, SidecarError) as error:
                found = {"path": path, "problem": str(error)}
            if found is None:
                continue
            size += len(found.get("content", ""))
            notebooks.append(found)
            if len(notebooks) > MOST_NOTEBOOKS or size > LARGEST_ANSWER:
                raise ReadingError(
                    f"It has more than {MOST_NOTEBOOKS} notebooks to share, or more than "
                    f"{LARGEST_ANSWER // 1_000_000} MB of them. Name a folder that has fewer."
                )
        return {"commit": commit, "notebooks": notebooks}

    def _notebook(self, path: str) -> dict[str, Any] | None:
        beside = str(PurePosixPath(path).with_name(sidecar_name(path)))
        fields = None
        if beside in self._files:
            fields = parse_sidecar(self._content(beside, LARGEST).decode(errors="replace"), beside)
        elif self._files[path][2] > LARGEST_NOTEBOOK or self._files[path][0] == "120000":
            return None
        content = self._content(path, LARGEST_NOTEBOOK)
        if fields is None:
            try:
                inside = json.loads(content)
            except (ValueError, RecursionError):
                return None
            fields = sidecar_of(inside, path) if isinstance(inside, dict) else None
        if fields is None:
            return None
        if not re.fullmatch(FILE_NAME, PurePosixPath(path).name):
            raise ReadingError(
                "Its file's name has letters that are not allowed: take Latin ones, digits, -, _ and ."
            )
        return {"path": path, "content": base64.b64encode(content).decode(), "fields": _plain(fields)}

    def _content(self, path: str, largest: int) -> bytes:
        mode, digest, size = self._files[path]
        if mode not in ("100644", "100755"):
            raise ReadingError(f"{path} is a link or another repository, and files alone are read.")
        if size > largest:
            raise ReadingError(f"{path} has {size / 1e6:.1f} MB, and {largest / 1e6:.1f} MB is the most.")
        return self._git.run("cat-file", "blob", digest, at="repository")


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON has them: YAML knows days, too."""
    found: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return found


if __name__ == "__main__":
    main()
