"""Forms with a file in them (RFC 7578), read by the standard library's parser of MIME."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

#: The media type of a form with a file.
MULTIPART = "multipart/form-data"


def multipart_fields(content_type: str, body: bytes) -> dict[str, list[str]]:
    """Return the fields of a form by name, a file's content as text. What cannot be read is left out.

    What a file in the field `notebook` is called at its sender's is the field `notebook.name`.

    Args:
        content_type: the request's header, with the boundary.
        body: all of what was sent; the caller bounds its size.
    """
    head = content_type.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + head + b"\r\n\r\n" + body)
    fields: dict[str, list[str]] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields.setdefault(name, []).append(content.decode("utf-8-sig", "replace"))
            if file := part.get_filename():
                fields.setdefault(f"{name}.name", []).append(file)
    return fields
