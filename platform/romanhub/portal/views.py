"""What the portal's pages show, beyond what the JSON API says in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hubquota.models.ledger import EntryKind
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.describe import SizeRow

from romanhub.portal.models import BalanceModel, StatementModel


@dataclass(frozen=True)
class Since:
    """The last line of the journal that added credits, and what has been charged since, in units."""

    kind: EntryKind
    at: datetime
    #: The posted balance after that line.
    balance: int
    #: What lines after it took away.
    charged: int


@dataclass(frozen=True)
class Shares:
    """Parts of what there was after credits were last added, in per cent of it; together at most 100."""

    charged: float
    running: float


@dataclass(frozen=True)
class AccountPage:
    """Everything that an account's page shows; without a statement where there is no account yet."""

    name: str
    #: Whether the account is the reader's own.
    own: bool
    tier_name: str
    tiers: Tiers
    at: datetime
    statement: StatementModel | None = None
    #: The line from before which the history is shown, if not from the newest.
    before: int | None = None
    since: Since | None = None
    sizes: tuple[SizeRow, ...] = ()

    @property
    def tier(self) -> Tier | None:
        """The account's tier, or None where the tiers file has none of that name any more."""
        return self.tiers.tiers.get(self.tier_name)

    @property
    def server_runs(self) -> bool:
        """Whether a server is running, not just starting."""
        running = self.statement.running if self.statement else ()
        return any(thing.kind == "server" and thing.started_at is not None for thing in running)

    @property
    def shares(self) -> Shares | None:
        """The bar: None where nothing is known that the balance is a part of."""
        if self.since is None or self.statement is None:
            return None
        return shares_of(self.since, self.statement.balance)


def shares_of(since: Since, balance: BalanceModel) -> Shares:
    """Return how much of `since.balance` has been charged, and how much running things use and hold."""
    if since.balance <= 0:
        return Shares(charged=100.0, running=0.0)
    charged = min(100.0, 100 * since.charged / since.balance)
    running = min(100.0 - charged, 100 * (balance.accrued + balance.set_aside) / since.balance)
    return Shares(charged=round(charged, 2), running=round(running, 2))
