"""Runs a command as a container's init does: takes in what it leaves behind, and buries what has ended.

Without one, a server whose hub was killed and that is killed then stays in the table of processes until the
machine's own init looks, and JupyterHub takes it for a server that runs.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

#: From <linux/prctl.h>.
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command of the arguments, and end when everything that came from it has ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    subprocess.Popen(sys.argv[1:])
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
