"""What AWS's libraries read in users' servers and workers, so that keys come by themselves."""

from __future__ import annotations

import shlex
from pathlib import Path

#: The module that a library of AWS starts for keys. It needs the standard library alone, and so starts at once.
PROCESS = "romanhub.client.credential_process"


def storage_environment(config: Path, broker: str) -> dict[str, str]:
    """Return the variables of a server or a worker.

    Args:
        config: the file that `write_aws_config` writes.
        broker: the broker's address, ending in a slash.
    """
    return {"ROMANHUB_BROKER_URL": broker, "AWS_CONFIG_FILE": str(config)}


def write_aws_config(path: Path, *, python: Path, endpoint: str | None, region: str) -> None:
    """Write the file that AWS_CONFIG_FILE names. It holds no secret, and everybody may read it.

    Args:
        path: the file.
        python: the interpreter of the users' environment.
        endpoint: the storage's address; None for Amazon's.
        region: the region to sign requests for.
    """
    lines = [
        "# Written by the platform at each start. Keys come from its broker, and are renewed by themselves.",
        "[default]",
        f"credential_process = {shlex.join([str(python), '-m', PROCESS])}",
        f"region = {region}",
    ]
    if endpoint is not None:
        lines += [f"endpoint_url = {endpoint}", "s3 =", "    addressing_style = path"]
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.chmod(0o644)
    fresh.replace(path)
