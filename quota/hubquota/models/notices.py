"""Notices: what a person is told, in the hub and by the channels that are configured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: How long a subject may be: mail programs and lists cut what is longer.
LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that one person is told, once."""

    id: int
    person: str
    #: What it is about, such as "allocation-expiring"; what people opt out of, where it is optional.
    kind: str
    #: Says which notice this is: a person has one of a key, however often it is posted.
    key: str
    subject: str
    text: str
    #: Whether the person may choose not to be sent it. The hub's page shows it in any case.
    optional: bool
    made_at: datetime
    #: When the person has seen it; None before.
    read_at: datetime | None


def checked(*, person: str, kind: str, key: str, subject: str, text: str) -> tuple[str, str]:
    """Return a notice's subject and text, without blanks around them.

    Raises:
        ValueError: a part is empty, the subject is longer than a line or 200 characters.
    """
    subject, text = subject.strip(), text.strip()
    for name, value in (("person", person), ("kind", kind), ("key", key), ("subject", subject), ("text", text)):
        if not value.strip():
            raise ValueError(f"A notice needs its {name}.")
    if len(subject) > LONGEST_SUBJECT or len(subject.splitlines()) > 1:
        raise ValueError(f"A notice's subject is one line of up to {LONGEST_SUBJECT} characters.")
    return subject, text
