"""What the band at the top of every page links to. A page that is added is a line here."""

from __future__ import annotations

from dataclasses import dataclass

from romanhub.portal.auth import Visitor


@dataclass(frozen=True)
class Item:
    """One link: what a page calls itself (`here`), its path under the portal's own, and its text."""

    here: str
    path: str
    text: str
    #: Whether it is only for those who may read every account.
    auditors: bool = False


ITEMS = (
    Item("account", "", "Your account"),
    Item("requests", "requests", "Your requests"),
    Item("projects", "projects", "Projects"),
    Item("admin", "admin", "All accounts", auditors=True),
    Item("queue", "admin/requests", "Queue", auditors=True),
    Item("audit", "admin/audit", "Audit", auditors=True),
)


def items_for(visitor: Visitor | None) -> list[Item]:
    """Return the links that somebody can follow; none that ask them to sign in but their own account's."""
    if visitor is None:
        return [ITEMS[0]]
    return [item for item in ITEMS if visitor.auditor or not item.auditors]
