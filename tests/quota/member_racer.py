"""A process that races others for what a member's cap leaves: waits for the start, then asks again and again."""

from __future__ import annotations

import sys

from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

url, name, tries = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(make_engine(url, timeout=60))
ledger.balance("survey")  # connected before the start
print("ready", flush=True)
sys.stdin.readline()
admitted = 0
for number in range(tries):
    try:
        key = f"{WORKER}:{name}-{number}"
        ledger.admit("survey", person="ada", kind=WORKER, key=key, label="A worker", rate=1)
        admitted += 1
    except Refused:
        pass
print(admitted, flush=True)
