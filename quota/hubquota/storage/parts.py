"""The parts of names, by which accounts are found.

How a part of a name is found: for every account the table `account_part` has the ends of its name from each
letter on, in one case and cut to `PART_LETTERS`. A name contains a text exactly if one of these ends begins
with it, which is a range of the table's key: one that is in order already, so that a page of it is read and
not sorted. Extensions for trigrams would do the same, but a database that others run may not have them, and
they would be another one in SQLite; this is the same table, key and order in both. It costs as many short
rows as a name has letters, written once, when the account is opened.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert

from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import account_part

#: How much of each end of a name is kept. A longer search is looked for by its beginning, and then compared.
PART_LETTERS = 24

_add = Prepared(insert(account_part), columns=("part", "account_id"))


def parts_of(name: str) -> list[str]:
    """Return what is kept of a name to find it by: its ends, each once."""
    folded = name.casefold()
    return list(dict.fromkeys(folded[start : start + PART_LETTERS] for start in range(len(folded))))


def add_parts(connection: Connection, accounts: Iterable[tuple[int, str]]) -> None:
    """Note the parts of new accounts' names.

    Args:
        connection: the transaction's.
        accounts: the number and the name of each.
    """
    _add.add(connection, [(part, number) for number, name in accounts for part in parts_of(name)])
