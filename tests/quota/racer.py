"""A process that races others for an account's last credit: waits for the start, then asks again and again."""

from __future__ import annotations

import sys

from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

url, name, tries, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ledger = Ledger(make_engine(url, timeout=300))
ledger.balance("ada")  # connected before the start
print("ready", flush=True)
sys.stdin.readline()
admitted = 0
for number in range(tries):
    try:
        ledger.admit("ada", kind="server", key=f"server:ada/{name}-{number}", label="A server", rate=rate)
        admitted += 1
    except Refused:
        pass
print(admitted, flush=True)
