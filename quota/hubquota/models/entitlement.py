"""What somebody is entitled to on an account now: its limits, and whether it is in grace or suspended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubquota.models.ledger import Account, Allocation, Refusal, Refused
from hubquota.models.overrides import Override, effective
from hubquota.models.states import Facts, State, state_of
from hubquota.models.tiers import Size, Tier, Tiers
from hubquota.models.words import duration_text, number_text

#: The label of a clean-up server's lease. By it the watch tells such a server from one that is paid for.
CLEAN_UP = "Clean-up server"

#: Of an account's allocations, the one whose state comes first here says where the account is.
_ORDER = (
    State.ACTIVE,
    State.EXPIRING,
    State.EXHAUSTED,
    State.SUSPENDED,
    State.EXPIRED,
    State.REVOKED,
    State.GRACE,
    State.APPROVED,
    State.ARCHIVED,
    State.PURGED,
)
#: States in which the files are still there and nothing pays any more.
_IN_GRACE = frozenset({State.EXPIRED, State.REVOKED, State.GRACE})


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody can start on an account now."""

    #: Its limits.
    tier: Tier
    #: The sizes that it may have, with their prices, in the order of the form; none where nothing can be started.
    sizes: Mapping[str, Size]
    #: Whether it is a clean-up server, which costs nothing.
    clean_up: bool
    #: Why nothing that is paid for can start, whatever its size; None where something can.
    refusal: Refusal | None

    def size(self, asked: object, ask: str) -> Size:
        """Return the size that somebody asks for.

        Args:
            asked: as for `size_of`, and so is the other.
            ask: how to ask for more.

        Raises:
            Refused: nothing can be started on the account, or not that size.
        """
        try:
            return size_of(self.sizes, self.tier, asked, ask)
        except Refused:
            if self.refusal is None:
                raise
        # What speaks against every size is said before what speaks against this one.
        raise Refused.by(self.refusal)

    def label(self, size: Size) -> str:
        """Return what people read of a server of this size."""
        return CLEAN_UP if self.clean_up else f"{size.title} server"


def offer_on(tiers: Tiers, names: Collection[str]) -> Offer | None:
    """Return what can be started on an account that pays, by its tiers alone; None if the file has none of these.

    Args:
        tiers: what the tiers file says.
        names: the tiers of the allocations that can pay now; one at least.
    """
    name = tiers.largest(names)
    if name not in tiers.tiers:
        return None
    return Offer(tiers.tiers[name], tiers.sizes_of(name), clean_up=False, refusal=None)


def size_of(offered: Mapping[str, Size], tier: Tier, asked: object, ask: str) -> Size:
    """Return the size that is asked for.

    Args:
        offered: the sizes that there are, by name.
        tier: the tier that offers them.
        asked: the name of one of them, or None for the tier's default. Anything may be asked for.
        ask: how to ask for more: the last sentence of a refusal.

    Raises:
        Refused: the tier does not offer it.
    """
    name = tier.default_size if asked is None else asked
    if not isinstance(name, str) or name not in offered:
        raise Refused(
            limit="size",
            message=f"The tier {tier.title} does not offer the size '{str(name)[:80]}'; "
            f"it offers: {', '.join(offered)}. {ask}",
        )
    return offered[name]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What somebody may use on an account, decided in one place for all who ask."""

    account: Account
    #: The name of the tier that decides.
    tier_name: str
    #: That tier's limits, with the overrides in force.
    tier: Tier
    #: Where the account is; None where it never had an allocation.
    state: State | None
    #: The overrides that changed a limit.
    overrides: tuple[Override, ...]
    #: In grace, what a clean-up server may be; None otherwise, and where there is none.
    clean_up: Tier | None
    #: The limits of a clean-up server that runs, in grace or not any more; None where there is none.
    clean_up_limits: Tier | None
    #: Why nothing that is paid for can start, whatever its size; None where something can.
    refusal: Refusal | None

    @property
    def offered(self) -> Tier:
        """The limits of what can be started now."""
        return self.clean_up or self.tier

    def offer(self, tiers: Tiers) -> Offer:
        """Return what can be started now."""
        return Offer(self.offered, self.sizes(tiers), self.clean_up is not None, self.refusal)

    def sizes(self, tiers: Tiers) -> dict[str, Size]:
        """Return the sizes that can be started now, with their prices, in the order of the form.

        In grace it is the clean-up server's, which costs nothing. Empty where nothing can be started.
        """
        if self.clean_up is not None:
            return tiers.clean_up_sizes(self.clean_up)
        if self.refusal is not None:
            return {}
        return {name: tiers.sizes[name] for name in self.tier.sizes}

    def check(self) -> None:
        """Raise what speaks against everything that is paid for.

        Raises:
            Refused: the account is suspended, or its last term is over.
        """
        if self.refusal is not None:
            raise Refused.by(self.refusal)

    def limits_of(self, label: str) -> Tier:
        """Return the limits of something that runs, by its lease's label."""
        return (self.clean_up_limits or self.tier) if label == CLEAN_UP else self.tier


def facts_of(allocation: Allocation, expiring: timedelta = timedelta(0)) -> Facts:
    """Return an allocation's dates as the facts that its state follows from.

    Args:
        allocation: the allocation.
        expiring: how long before its end it counts as expiring.
    """
    return Facts(
        granted_at=allocation.granted_at,
        # What was to pay at once pays, even where another machine's clock is behind.
        start=allocation.start if allocation.start > allocation.granted_at else None,
        end=allocation.end,
        exhausted=allocation.balance - allocation.held <= 0,
        suspended_at=allocation.suspended_at,
        revoked_at=allocation.revoked_at,
        lapsed_at=allocation.lapsed_at,
        archived_at=allocation.archived_at,
        purged_at=allocation.purged_at,
        expiring=expiring,
    )


def entitlement_of(
    tiers: Tiers,
    account: Account,
    allocations: Sequence[Allocation],
    overrides: Iterable[Override],
    now: datetime,
    *,
    person: str,
    why_suspended: str = "",
) -> Entitlement:
    """Return what somebody is entitled to on an account.

    Args:
        tiers: what the tiers file says.
        account: the account.
        allocations: its allocations; those whose books are closed may be left out while another pays.
        overrides: its overrides, in force or not.
        now: the moment.
        person: who draws on it.
        why_suspended: the reason that an allocation was suspended with.

    Raises:
        Refused: the account is on a tier that the file no longer has.
    """
    name = tiers.largest(account.tiers)
    if name not in tiers.tiers:
        whose = "Your account" if account.name == person else f"The account {account.name}"
        raise Refused(
            limit="tier",
            message=f"{whose} is on the tier '{name}', which this platform no longer has, so nothing can be "
            f"started. {tiers.ask}",
        )
    given = [one for one in overrides if one.in_force(now) and one.is_for(person)]
    tier = effective(tiers, name, given, now, person=person)
    which = deciding(tiers, allocations, now)
    state = None if which is None else state_in(tiers, which, now)
    refusal, clean_up, limits = None, None, tiers.clean_up_limits(tier)
    if which is not None and state is State.SUSPENDED:
        refusal = _suspended(tiers, account, which, why_suspended)
    elif which is not None and state in _IN_GRACE:
        # A project has no home of its own, and its members have an account of their own to clean up on.
        clean_up = limits if account.kind == "user" else None
        refusal = _over(tiers, account, which, clean_up)
    elif which is not None and state in (State.ARCHIVED, State.PURGED):
        refusal = _away(tiers, account, which)
    return Entitlement(account, name, tier, state, tuple(given), clean_up, limits, refusal)


def deciding(tiers: Tiers, allocations: Iterable[Allocation], now: datetime) -> Allocation | None:
    """Return the allocation whose state says where its account is; of several in that state, the last to end."""
    found = list(allocations)
    if len(found) == 1:
        return found[0]
    return min(
        found,
        key=lambda one: (_ORDER.index(state_in(tiers, one, now)), -(one.end or now).timestamp()),
        default=None,
    )


def state_in(tiers: Tiers, allocation: Allocation, now: datetime) -> State:
    """Return an allocation's state, with its tier's number of days before the end in which it is expiring."""
    tier = tiers.tiers.get(allocation.tier)
    return state_of(facts_of(allocation, timedelta(days=tier.expiring_days if tier else 0)), now)


def suspended_text(allocation: Allocation, why: str) -> str:
    """Return a sentence that says since when an allocation is suspended, and why."""
    since = f"{allocation.suspended_at:%Y-%m-%d}"
    return f"Allocation {allocation.id} of {allocation.account} is suspended since {since}: {_sentence(why)}"


def _suspended(tiers: Tiers, account: Account, allocation: Allocation, why: str) -> Refusal:
    text = f"The account {account.name} is suspended, so nothing can be started on it."
    return Refusal("suspended", f"{text} {suspended_text(allocation, why)} {tiers.ask}")


def _over(tiers: Tiers, account: Account, allocation: Allocation, clean_up: Tier | None) -> Refusal:
    text = _ended_text(account, allocation)
    if clean_up is None:
        text += " Nothing can be started on it."
    else:
        size = tiers.sizes[clean_up.default_size]
        longest = duration_text(clean_up.longest_session_hours * 3600)
        text += (
            f" Until its files are archived you can start a clean-up server ({clean_up.default_size}: "
            f"{number_text(size.cores, 'core')}, {size.memory_gib} GB), free of charge and for {longest} at "
            "most, to fetch or clear up what is in your home."
        )
    return Refusal("grace", f"{text} {tiers.ask}", clean_up is not None)


def _away(tiers: Tiers, account: Account, allocation: Allocation) -> Refusal:
    text = _ended_text(account, allocation)
    if allocation.purged_at is not None:
        text += f" What was kept under it is gone since {allocation.purged_at:%Y-%m-%d}. Nothing can be started."
    else:
        text += (
            f" What was kept under it is in the archive since {allocation.archived_at:%Y-%m-%d}, so there is "
            "nothing to clear up and nothing can be started. Ask for it back, or for another allocation: it comes "
            "back with that."
        )
    return Refusal("grace", f"{text} {tiers.ask}")


def _ended_text(account: Account, allocation: Allocation) -> str:
    ended = allocation.revoked_at or allocation.end
    text = f"The last term of {account.name} is over"
    return text + (f" since {ended:%Y-%m-%d}." if ended is not None else ".")


def _sentence(text: str) -> str:
    plain = " ".join(text.split())
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."
