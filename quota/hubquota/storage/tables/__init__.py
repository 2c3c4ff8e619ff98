"""The ledger's tables, by subject. Whoever imports this has all of them."""

from __future__ import annotations

from hubquota.storage.tables.accounts import account, account_part, membership
from hubquota.storage.tables.base import VERSION_TABLE, metadata
from hubquota.storage.tables.ledger import allocation, entry, hold, lease, segment
from hubquota.storage.tables.limits import cap, instruction, override, spending
from hubquota.storage.tables.notices import delivery, notice, notice_address, notice_opt_out
from hubquota.storage.tables.purge import purge_event, purge_hold, purge_item, purge_plan
from hubquota.storage.tables.requests import request
from hubquota.storage.tables.scratch import data_read, data_report, scratch
from hubquota.storage.tables.terms import additional, ending, reminder, renewal, renewal_item, renewal_plan

__all__ = [
    "VERSION_TABLE",
    "account",
    "account_part",
    "additional",
    "allocation",
    "cap",
    "data_read",
    "data_report",
    "delivery",
    "ending",
    "entry",
    "hold",
    "instruction",
    "lease",
    "membership",
    "metadata",
    "notice",
    "notice_address",
    "notice_opt_out",
    "override",
    "purge_event",
    "purge_hold",
    "purge_item",
    "purge_plan",
    "reminder",
    "renewal",
    "renewal_item",
    "renewal_plan",
    "request",
    "scratch",
    "segment",
    "spending",
]
