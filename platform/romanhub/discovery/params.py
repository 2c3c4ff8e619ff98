"""The parameters of a request as the Virtual Observatory has them: names in any case, and repeated ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from starlette.requests import Request

#: No request names more parameters.
_MOST = 2_000

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)


class UsageError(Exception):
    """The request cannot be meant: the sender has to change it. The message says how."""


class TooLargeError(UsageError):
    """The request is larger than it may be."""


@dataclass(frozen=True)
class Params:
    """What was sent."""

    pairs: tuple[tuple[str, str], ...]
    #: The files that came along, by the names of their parts.
    files: dict[str, bytes] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter that is not empty."""
        return [value for key, value in self.pairs if key == name.upper() and value.strip()]

    def one(self, name: str) -> str | None:
        """Return a parameter's value, or None. Raises UsageError where it was sent more than once."""
        found = self.all(name)
        if len(found) > 1 and len(set(found)) > 1:
            raise UsageError(f"{name.upper()} can be given once only.")
        return found[0] if found else None

    def names(self) -> set[str]:
        """Return the names of the parameters, in upper case."""
        return {key for key, _ in self.pairs}

    def whole(self, name: str, *, least: int = 0) -> int | None:
        """Return a parameter that is a whole number, or None. Raises UsageError for anything else."""
        text = self.one(name)
        if text is None:
            return None
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise UsageError(f"{name.upper()} has to be a whole number, {least} or more; it was {text!r}.")
        return value


def of_pairs(pairs: Iterable[tuple[str, str]]) -> Params:
    """Return parameters from pairs of names, in whatever case, and values."""
    return Params(tuple((name.upper(), value) for name, value in pairs))


async def read_params(request: Request, *, most_bytes: int) -> Params:
    """Return a request's parameters, those of its address and of its form. Raises UsageError, TooLargeError."""
    pairs = list(request.query_params.multi_items())
    files: dict[str, bytes] = {}
    if request.method == "POST":
        body = await _body(request, most_bytes)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            for name, content, filename in _parts(request.headers["content-type"], body):
                if filename is None:
                    pairs.append((name, content.decode("utf-8", "replace")))
                else:
                    files[name] = content
        elif kind in ("application/x-www-form-urlencoded", ""):
            pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST)
        else:
            raise UsageError("A form has to be sent as application/x-www-form-urlencoded or multipart/form-data.")
    if len(pairs) > _MOST:
        raise UsageError(f"No request may name more than {_MOST:,} parameters.")
    return Params(tuple((name.upper(), value) for name, value in pairs), files)


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLargeError(f"The request is larger than {most:,} bytes.")
    return bytes(body)


def _parts(content_type: str, body: bytes) -> Sequence[tuple[str, bytes, str | None]]:
    """Return the parts of a form (RFC 7578): each one's name, content and file name.

    The boundary is taken as it stands: Python's own parser takes angle brackets off, which TOPCAT's has around it.
    """
    said = _BOUNDARY.search(content_type)
    if said is None:
        raise UsageError("A form that is sent as multipart/form-data has to name its boundary.")
    line = b"\r\n--" + (said[1] or said[2]).encode("latin-1", "replace")
    found = []
    for part in (b"\r\n" + body).split(line)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = BytesParser(policy=HTTP).parsebytes(head.lstrip() + b"\r\n\r\n", headersonly=True)
        name = headers.get_param("name", header="content-disposition")
        if isinstance(name, str):
            found.append((name, content, headers.get_filename()))
    return found
