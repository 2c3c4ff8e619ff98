"""What somebody wants to start, as the ledger is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

#: An admission holds what so many seconds cost, unless the caller asks for another number.
MINIMUM_SECONDS = 600


# Nothing changes one of these. Python takes several times as long to make what is frozen.
@dataclass(slots=True, kw_only=True)
class Wanted:
    """What is to start, whoever it is for.

    Raises:
        ValueError: the rate or the minimum is below zero.
    """

    #: What runs, such as "server".
    kind: str
    #: What people read, such as "Medium server".
    label: str
    #: Units a second while it runs.
    rate: int
    #: How many seconds of running are held.
    minimum_seconds: int = MINIMUM_SECONDS
    #: How many open leases of this kind the account may have; None for any number.
    limit: int | None = None
    #: How many of them one person may have; None for any number.
    limit_each: int | None = None
    #: How to ask for more: the last sentence of a refusal.
    ask: str = ""
    #: Whether the caller knows that nothing runs under the key. An open lease that has it is then a leftover
    #: of a crash, and is closed at the time it was last seen.
    settle_leftover: bool = False

    def __post_init__(self) -> None:
        if self.rate < 0 or self.minimum_seconds < 0:
            raise ValueError("Neither a rate nor a minimum can be below zero.")


@dataclass(slots=True, kw_only=True)
class Admission(Wanted):
    """One thing that is to start. A lease is what comes of it, or a refusal.

    Raises:
        ValueError: as for `Wanted`.
    """

    #: The account that pays.
    account: str
    #: Which one, such as "server:ada/". One open lease at most has a key.
    key: str
    #: Who runs it; the account's owner if not given. On a project, one of its members.
    person: str | None = None

    @property
    def who(self) -> str:
        """Who runs it."""
        return self.person or self.account
