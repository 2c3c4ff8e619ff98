"""What the platform's end leaves behind: nothing, whatever starts or is left alone meanwhile."""

from __future__ import annotations

import subprocess
import sys

#: A process that, told to end, starts another one in a session of its own: only a second look can find that one.
SCRIPT = """
import subprocess, psutil
from romanhub.local import supervisor

supervisor._become_subreaper()
late = "trap 'setsid sleep 1000 >&- 2>&- & exit' TERM; echo here; while :; do sleep 0.05; done"
process = subprocess.Popen(["sh", "-c", late], stdout=subprocess.PIPE)
process.stdout.readline()
supervisor._end_descendants()
print(len(psutil.Process().children(recursive=True)))
"""


def test_what_starts_while_everything_ends_is_ended_too() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
