"""What the portal's pages show, beyond what the JSON API says in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from hubquota.models.burndown import BurnDown
from hubquota.models.ledger import EntryKind, Explanation
from hubquota.models.money import price_of
from hubquota.models.reading import History, Session
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.describe import SizeRow

from romanhub.portal.answers import AllocationModel
from romanhub.portal.chart import Picture, pictures
from romanhub.portal.display import adding_up
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
class HistoryRow:
    """One line of the history: a session with all its charges, or what somebody did."""

    label: str
    text: str
    start: datetime | None
    end: datetime | None
    #: Seconds that a session ran; None for what is none.
    seconds: int | None
    price: Decimal | None
    #: Who ran it.
    person: str
    #: The session's number, where it was charged in more than one part.
    opens: int | None
    charges: int
    #: What it takes or adds, so that the column adds up.
    amount: str
    #: The posted balance after it and all lines below it, in units.
    after: int


def history_rows(found: History, now: datetime) -> list[HistoryRow]:
    """Return the lines of a history as the page shows them."""
    amounts = [line.amount for line in found.lines]
    oldest = found.after[-1] - amounts[-1] if amounts else 0
    shown = adding_up(amounts[::-1], oldest)[::-1]
    rows = []
    for line, amount, after in zip(found.lines, shown, found.after, strict=True):
        if isinstance(line, Session):
            lease = line.lease
            row = HistoryRow(
                label=lease.label,
                text=lease.reason or ("Runs now; charged so far." if lease.is_open else ""),
                start=lease.started_at,
                end=lease.ended_at,
                seconds=lease.seconds(now),
                price=price_of(lease.rate),
                person=lease.person,
                opens=lease.id if line.lines > 1 else None,
                charges=line.lines,
                amount=amount,
                after=after,
            )
        else:
            row = HistoryRow(
                label=line.kind.capitalize(),
                text=f"{line.reason}{'' if line.reason.endswith(('.', '!', '?')) else '.'} By {line.actor}.",
                start=line.at,
                end=None,
                seconds=None,
                price=None,
                person="",
                opens=None,
                charges=0,
                amount=amount,
                after=after,
            )
        rows.append(row)
    return rows


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
    history: tuple[HistoryRow, ...] = ()
    next_before: int | None = None
    allocations: tuple[AllocationModel, ...] = ()
    explanation: Explanation | None = None
    burn: BurnDown | None = None

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
    def pictures(self) -> tuple[Picture, ...]:
        """The burn-down, drawn for wide pages and for narrow ones."""
        return pictures(self.burn) if self.burn else ()

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
