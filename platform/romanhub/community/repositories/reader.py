"""Has repositories read by a process with limits, one at a time."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from romanhub.community.errors import RefusedError, UnavailableError
from romanhub.community.repositories.addresses import Lookup, check_branch, check_folder, look_up, place_of

log = logging.getLogger(__name__)

#: How long one read may take, in seconds.
SECONDS = 180.0


class FoundNotebook(BaseModel):
    """A notebook of a repository that wants to be shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="Where it is in the repository.")
    content: bytes = Field(default=b"", description="The file; empty where there is a problem.")
    fields: dict[str, Any] = Field(default={}, description="What its sidecar says.")
    problem: str | None = Field(default=None, description="Why it cannot be shared as it is.")


class ReadRepository(BaseModel):
    """What was read of a repository."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$", description="The commit that was read.")
    notebooks: tuple[FoundNotebook, ...] = Field(description="Its notebooks with a sidecar.")


class RepositoryReader:
    """Reads public repositories over HTTPS. What they hold is read by another process."""

    def __init__(
        self, *, allowed: frozenset[str] = frozenset(), seconds: float = SECONDS, lookup: Lookup = look_up
    ) -> None:
        """Read with these limits.

        Args:
            allowed: origins that the operator allows though they are not public, or not HTTPS.
            seconds: how long one read may take.
            lookup: finds the addresses of a host.
        """
        self._allowed, self._seconds, self._lookup = allowed, seconds, lookup
        self._turn = Lock()

    @property
    def allowed(self) -> frozenset[str]:
        """The origins that the operator allows."""
        return self._allowed

    def read(self, url: str, branch: str, folder: str, known: str | None) -> ReadRepository | None:
        """Return what is in a repository; None where it is still at the commit that is known.

        Raises
        ------
        RefusedError
            Where it cannot be read as it is; the message says why.
        UnavailableError
            Where it may be readable later.
        """
        place = place_of(url, self._allowed, self._lookup)
        request = {
            "url": place.url,
            "scheme": place.scheme,
            "pin": place.pin,
            "branch": check_branch(branch),
            "folder": check_folder(folder),
            "known": known,
            "authorities": os.environ.get("SSL_CERT_FILE", ""),
        }
        with self._turn:
            answer = self._ask(request)
        if answer.get("unchanged"):
            return None
        if "problem" in answer:
            raise RefusedError(f"The repository cannot be read. {answer['problem']}")
        notebooks = [{**one, "content": base64.b64decode(one.get("content", ""))} for one in answer["notebooks"]]
        return ReadRepository.model_validate({"commit": answer["commit"], "notebooks": notebooks})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        folder = Path(tempfile.mkdtemp(prefix="romanhub-repository-"))
        try:
            if os.geteuid() == 0:
                os.chown(folder, 65534, 65534)
            return self._run(request, folder)
        except OSError as error:
            raise UnavailableError("Repositories cannot be read just now.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        path = ":".join(path for path in sys.path if path)
        # Nothing of this process's environment, which has keys, goes to the one that talks to the outside.
        process = subprocess.Popen(
            [sys.executable, "-m", "romanhub.community.repositories.worker"],
            env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "HOME": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            answered, said = process.communicate(json.dumps(request).encode(), timeout=self._seconds)
        except subprocess.TimeoutExpired:
            raise RefusedError("The repository cannot be read. It takes too long.") from None
        finally:
            # Git's own helpers are in the same group, and may have outlived it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode < 0:
            raise RefusedError("The repository cannot be read. It takes too much time or memory.")
        try:
            found: dict[str, Any] = json.loads(answered)
        except ValueError:
            log.error("A repository could not be read: %s", said.decode(errors="replace")[-2000:])
            raise UnavailableError("The repository could not be read. Tell the people who run this.") from None
        if "problem" in found:
            log.warning("Repository %s: %s", request["url"], said.decode(errors="replace")[-500:].strip())
        return found
