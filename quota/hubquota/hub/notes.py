"""What the hub's pages say about a user's servers: what is about to be stopped, and why the last one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hubquota.hub.enforcement import Warned, budget_warning, stop_warning, stops_of
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Lease
from hubquota.models.stops import due_warning
from hubquota.models.tiers import Tiers
from hubquota.models.words import moment_text
from hubquota.services.describe import linked
from hubquota.services.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for a user."""

    warnings: tuple[Warned, ...]
    #: What ended last; None where nothing did, or where something was started since then.
    ended: Lease | None


def standing(
    ledger: Ledger,
    tiers: Tiers,
    person: str,
    now: datetime,
    active: Mapping[str, datetime | None],
    *,
    key: str | None = None,
) -> Standing:
    """Return how things stand for a user: the same warnings that the watch gives, and the last end.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        person: the user's name.
        now: the time.
        active: when activity was last noted in each of the user's servers, by the key of its lease.
        key: the key of the one server whose last end is asked for; of any, if not given.
    """
    warnings: list[Warned] = []
    # Servers of another hub on the same ledger are that hub's to speak of.
    running = [
        lease
        for lease in ledger.open_leases(SERVER, person=person)
        if lease.started_at is not None and lease.key in active
    ]
    accounts = dict.fromkeys([person, *(lease.account for lease in running)])
    outlooks = {name: ledger.outlook(name) for name in accounts}
    for lease in running:
        if lease.started_at is None:
            continue
        since = active.get(lease.key) or lease.started_at
        stops = stops_of(ledger, tiers, lease, outlooks[lease.account], active=since)
        due = due_warning(stops, tiers.warnings.minutes_before_stop, now)
        if due is not None:
            warnings.append(stop_warning(lease, due, now))
    for outlook in outlooks.values():
        warned = budget_warning(outlook, tiers.warnings) if outlook is not None and outlook.granted else None
        if warned is not None:
            warnings.append(warned)
    ended = ledger.last_end(person, SERVER, key)
    # Who has started something since then has read it.
    if ended is not None and any(_is_later(lease, ended) for lease in running if key in (None, lease.key)):
        ended = None
    return Standing(tuple(warnings), ended)


def _is_later(lease: Lease, ended: Lease) -> bool:
    """Return whether a lease was admitted after another one's end; of one server, both cannot be open."""
    return lease.key == ended.key or (ended.ended_at is not None and lease.admitted_at > ended.ended_at)


def notes_html(standing: Standing) -> Markup:
    """Return a fragment of HTML; an empty one where there is nothing to say."""
    ended = standing.ended
    # The template escapes what it is given; `linked` has done so.
    text = _template().render(
        warnings=standing.warnings,
        ended=ended,
        verb=_verb(ended),
        when=moment_text(ended.ended_at) if ended is not None and ended.ended_at is not None else "",
        reason=linked((ended.reason or "") if ended is not None else ""),
    )
    return Markup(text)  # noqa: S704


def _verb(ended: Lease | None) -> str:
    if ended is None or ended.end_kind in (None, "ended", "lost", "node-lost"):
        return "ended"
    return "failed to start" if ended.end_kind == "failed" else "was stopped"


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("hubquota.hub"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("notes.html")
