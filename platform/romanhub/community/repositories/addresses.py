"""Which addresses a repository is read from: public ones, over HTTPS, without keys in them.

A person chooses the address and the platform's own process connects to it, so that it must not lead to what only
the platform can reach. The name is looked up once, every address that it has must be public, and Git is told to
use these and no others: a name that means something else a moment later changes nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from romanhub.community.errors import RefusedError, UnavailableError

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_PATH = re.compile(r"/[A-Za-z0-9._~/+-]{1,300}")
_BRANCH = re.compile(r"(?!.*(\.\.|//|\.lock$|/$))[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._,+()-]{0,99}")

#: An IPv4 address within one of IPv6, by which a translator reaches it.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")

#: Looks a name up: host and port to addresses.
Lookup = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Place:
    """A repository that may be read, and the addresses at which it is."""

    url: str
    scheme: str
    #: `HOST:PORT:ADDRESS,ADDRESS`, as curl takes it; empty where the operator named the origin.
    pin: str


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def check_url(url: str, allowed: frozenset[str] = frozenset()) -> str:
    """Return an address in its usual writing, without asking anybody for it.

    Args:
        url: what a person gave.
        allowed: origins that the operator allows besides, such as `https://git.example.org:8443`.

    Raises:
    ------
    RefusedError
        Where it is not the address of a repository that may be read.
    """
    given = url.strip()
    try:
        parts = urlsplit(given)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise RefusedError("This is no address. Give that of the repository, https://…") from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise RefusedError(
            "The address has a user name or a key in it. Public repositories alone are read: leave it out."
        )
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path) or "/../" in f"{parts.path}/":
        raise RefusedError(
            "This is not a repository's own address. Give the one that you would clone, such as "
            "https://github.com/you/notebooks."
        )
    origin = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"
    if origin not in allowed:
        if parts.scheme != "https":
            raise RefusedError(
                "Repositories are read over HTTPS alone: give an address that begins with https://."
            )
        if not _HOST.fullmatch(host) or host.rpartition(".")[2].isdigit():
            raise RefusedError(f"'{host[:100]}' is not the name of a public host.")
        if port not in (None, 443):
            raise RefusedError("Repositories are read at HTTPS's own port alone: leave the port out.")
    return f"{origin}{parts.path.rstrip('/')}"


def check_branch(branch: str) -> str:
    """Return the name of a branch; empty for the repository's own choice. Raises RefusedError."""
    if branch and not _BRANCH.fullmatch(branch):
        raise RefusedError(f"'{branch[:100]}' is no name of a branch.")
    return branch


def check_folder(folder: str) -> str:
    """Return a folder within a repository, without slashes around it; empty for all of it. Raises RefusedError."""
    parts = [part for part in folder.strip().strip("/").split("/") if part]
    if len(parts) > 10 or any(not _FOLDER.fullmatch(part) for part in parts):
        raise RefusedError(f"'{folder[:100]}' is no folder of a repository.")
    return "/".join(parts)


def place_of(url: str, allowed: frozenset[str] = frozenset(), lookup: Lookup = look_up) -> Place:
    """Return where to read a repository. Raises what `check_url` raises, UnavailableError for an unknown host."""
    url = check_url(url, allowed)
    parts = urlsplit(url)
    if f"{parts.scheme}://{parts.netloc}" in allowed:
        return Place(url, parts.scheme, "")
    host = parts.hostname or ""
    try:
        addresses = lookup(host, 443)
    except OSError:
        raise UnavailableError(f"There is no host {host}, or it cannot be asked for just now.") from None
    if not addresses or not all(is_public(address) for address in addresses):
        raise RefusedError(
            f"{host} is within a private network, and repositories are read from public hosts alone. The people "
            "who run this platform can allow it."
        )
    pinned = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
    return Place(url, parts.scheme, f"{host}:443:{pinned}")


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet's, whichever way it is written."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved
