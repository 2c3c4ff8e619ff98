"""Packages of one's own: what `%pip install` installs goes into the person's home, beside the environment.

The environment is the same for everybody and nobody may change it. So pip is told to install elsewhere, and to
keep to the environment's own versions: what would need another numpy is refused by pip with the reason, and a
notebook that runs for one person runs for the next who installs the same.

The Roman kernel loads this module as an IPython extension. It sets what the kernel's own subprocesses read, so
that `%pip install` and `!pip install` do the same, and commands that come with a package find it.
"""

from __future__ import annotations

import os
import site
import sysconfig
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

#: Where packages go, in the home. Each version of Python has a folder of its own in there.
PLACE = Path(".local/share/romanhub/packages")


def folder(prefix: Path) -> Path:
    """Return the folder below a prefix that pip puts packages for this Python into."""
    places = {"base": str(prefix), "platbase": str(prefix)}
    return Path(sysconfig.get_path("purelib", sysconfig.get_preferred_scheme("prefix"), vars=places))


def versions(environment: Path) -> Iterator[str]:
    """Yield what the environment has, as pip's constraints: by the folders' names, which reads no file.

    Source of the form: packaging.python.org, "Recording installed projects".
    """
    for found in sorted(environment.glob("*-*.dist-info")):
        name, version = found.name.removesuffix(".dist-info").split("-", 1)
        yield f"{name}=={version}"


def prepare(home: Path, environment: MutableMapping[str, str]) -> None:
    """Make the place in a home, add it to what can be imported, and say so to pip.

    What somebody has set for pip themselves stays. In a home that cannot be written (a clean-up server's) nothing
    is prepared, and pip says that it may not write.
    """
    prefix = home / PLACE
    constraints = prefix / "constraints.txt"
    text = "".join(f"{line}\n" for line in versions(Path(sysconfig.get_path("purelib"))))
    try:
        folder(prefix).mkdir(parents=True, exist_ok=True)
        if not constraints.exists() or constraints.read_text() != text:
            constraints.write_text(text)
    except OSError:
        return
    # At the end of the path: what the environment has comes first.
    place = str(folder(prefix))
    site.addsitedir(place)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), place]))
    environment.setdefault("PIP_PREFIX", str(prefix))
    environment.setdefault("PIP_CONSTRAINT", str(constraints))
    environment.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    environment.setdefault("PIP_NO_WARN_SCRIPT_LOCATION", "1")
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), str(prefix / "bin")])


def load_ipython_extension(shell: Any) -> None:
    """Prepare a kernel: IPython calls this."""
    prepare(Path.home(), os.environ)
