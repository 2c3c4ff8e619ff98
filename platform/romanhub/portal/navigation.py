"""What the band at the top of every page links to. A page that is added is a line here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from romanhub.portal.auth import Visitor


@dataclass(frozen=True)
class Item:
    """One link: what a page calls itself (`here`), its path under the portal's own, and its text."""

    here: str
    path: str
    text: str
    #: Whether it is only for those who may read every account.
    auditors: bool = False
    #: Whether it is only for those who may act on every account.
    admins: bool = False
    #: How many things wait there to be read.
    count: int = 0


ITEMS = (
    Item("account", "", "Your account"),
    Item("archive", "archive", "Archive"),
    Item("community", "community", "Community"),
    Item("clusters", "clusters", "Your clusters"),
    Item("runs", "runs", "Your runs"),
    Item("requests", "requests", "Your requests"),
    Item("scratch", "scratch", "Scratch"),
    Item("projects", "projects", "Projects"),
    Item("notices", "notices", "Notices"),
    Item("admin", "admin", "All accounts", auditors=True),
    Item("queue", "admin/requests", "Queue", auditors=True),
    Item("audit", "admin/audit", "Audit", auditors=True),
    Item("all-clusters", "admin/clusters", "All clusters", auditors=True),
    Item("purge", "admin/purge", "Purge", auditors=True),
    Item("what-if", "admin/what-if", "What if", auditors=True, admins=True),
)


def items_for(visitor: Visitor | None, unread: int = 0) -> list[Item]:
    """Return the links that somebody can follow; none that ask them to sign in but their own account's.

    Args:
        visitor: who reads the page; None for somebody who is not signed in.
        unread: how many notices they have not seen.
    """
    if visitor is None:
        return [ITEMS[0]]
    return [
        replace(item, count=unread) if item.here == "notices" else item
        for item in ITEMS
        if (visitor.auditor or not item.auditors) and (visitor.admin or not item.admins)
    ]
