"""Where people's scratch is: one bucket, a prefix for each account, and within it one for each scratch space."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from hubquota.models.scratch import Scratch

from romanhub.models.credentials import ScratchPlace


def account_folder(account: str) -> str:
    """Return what stands for an account in a key: its name where that is a plain one.

    A policy gives `*`, `?` and `$` a meaning, and a slash begins another prefix; so of other names it is what can
    be read of them and a digest. It is never the same for two accounts.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}", account):
        return account
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", account)[:40]
    return f"{readable}+{hashlib.sha256(account.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class ScratchBucket:
    """The bucket that holds people's scratch."""

    bucket: str
    region: str

    def prefix(self, one: Scratch) -> str:
        """Return what the keys in a scratch space begin with."""
        return f"scratch/{account_folder(one.account)}/{one.name}/"

    def place(self, one: Scratch) -> ScratchPlace:
        """Return a scratch space as its owner's keys open it: one that is over its size is not to be written."""
        return ScratchPlace(
            bucket=self.bucket,
            prefix=self.prefix(one),
            region=self.region,
            writable=not one.is_over,
            ends=one.ends_at,
            gib=one.gib,
        )
