"""Our hub as it is, with the looks at a starting server as steady as on the plain side."""

import os

from tests.bench.hub_side import look_every
from tests.bench.hubs import OURS

c = get_config()  # noqa: F821
load_subconfig(str(OURS))  # noqa: F821

look_every(os.environ.get("BENCH_LOOK"))
