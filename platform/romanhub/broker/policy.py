"""The session policy: what one person's keys open, said in as few characters as can be.

AWS takes a session policy of 2,048 characters at most (IAM and AWS STS quotas), so prefixes that are within others
are left out, and what has the same rights shares a statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from romanhub.models.credentials import ScratchPlace
from romanhub.models.datasets import Dataset

#: The most characters that AWS takes for a session policy.
LONGEST = 2048

_CLEAR = ["s3:GetObject", "s3:DeleteObject"]
_WRITE = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


class PolicyTooLongError(Exception):
    """What somebody may read does not fit into one session policy; the text says what to do."""


def session_policy(datasets: Mapping[str, Dataset], scratch: Mapping[str, ScratchPlace]) -> str:
    """Return the policy as compact JSON: the same text for the same rights.

    Args:
        datasets: the data sets to be read.
        scratch: the scratch spaces; what is not writable can be read and deleted.

    Raises:
        PolicyTooLongError: it has more characters than AWS takes.
    """
    read = _outermost((one.bucket, one.prefix) for one in datasets.values())
    indexes = sorted({(one.bucket, one.index) for one in datasets.values() if one.index is not None})
    objects = [_arn(bucket, f"{prefix}*") for bucket, prefix in read]
    objects += [_arn(bucket, key) for bucket, key in indexes if not _within(read, bucket, key)]
    writable = _outermost((one.bucket, one.prefix) for one in scratch.values() if one.writable)
    full = _outermost((one.bucket, one.prefix) for one in scratch.values() if not one.writable)
    statements = [
        _allow(actions, resources)
        for actions, resources in (
            ("s3:GetObject", objects),
            (_CLEAR + _WRITE, [_arn(bucket, f"{prefix}*") for bucket, prefix in writable]),
            (_CLEAR, [_arn(bucket, f"{prefix}*") for bucket, prefix in full]),
        )
        if resources
    ]
    listed = _outermost(read + writable + full)
    for bucket in sorted({bucket for bucket, _ in listed}):
        listing = _allow("s3:ListBucket", _arn(bucket))
        prefixes = [f"{prefix}*" for within, prefix in listed if within == bucket]
        listing["Condition"] = {"StringLike": {"s3:prefix": _one_or_all(prefixes)}}
        statements.append(listing)
    if not statements:
        # Keys without a policy would have all that the role may; these have nothing.
        statements.append({"Effect": "Deny", "Action": "*", "Resource": "*"})
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > LONGEST:
        raise PolicyTooLongError(
            f"You may read {len(datasets)} data sets and have {len(scratch)} scratch spaces, which do not fit "
            f"into the rights of one key ({len(text)} characters; the limit is {LONGEST}). Ask for some of them: "
            "?dataset=NAME&dataset=NAME, or ?dataset= for scratch alone."
        )
    return text


def _outermost(places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the places in order, without those that are within another of them."""
    found: list[tuple[str, str]] = []
    for bucket, prefix in sorted(places):
        # Whatever a prefix is within comes before it in this order.
        if not _within(found, bucket, prefix):
            found.append((bucket, prefix))
    return found


def _within(places: Iterable[tuple[str, str]], bucket: str, key: str) -> bool:
    return any(bucket == within and key.startswith(prefix) for within, prefix in places)


def _arn(bucket: str, key: str = "") -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def _allow(action: str | list[str], resources: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": _one_or_all(resources)}


def _one_or_all(texts: str | list[str]) -> str | list[str]:
    return texts[0] if isinstance(texts, list) and len(texts) == 1 else texts
