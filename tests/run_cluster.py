"""What `make test-cluster` runs once the environments are there: the tests that need a Kubernetes.

They use the cluster that KUBECONFIG names, or one of this machine's own. Everything of that one is in namespaces
that end with it: its processes, its network and its mounts. On the machine itself it leaves the kept builds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import run_test  # noqa: E402
from tests.cluster import cgroups, figures, given, images, programs, ready  # noqa: E402

#: Set for the process that is in the namespaces.
INSIDE = "ROMANHUB_TEST_CLUSTER_ADDRESS"

#: Asks for what is built once, and for no tests.
BUILD = "--build"

#: Asks for the figures of the last install to be put into the documentation, and for no tests.
FIGURES = "--markdown"

#: Asks for a shell with the cluster, and for no tests.
SHELL = "--shell"

#: Tests that have a control plane of their own, and no node.
WITHOUT_NODE = ("tests/cluster/dask/test_pretended.py", "tests/cluster/test_chart.py")

#: The address of the cluster's one machine in its own network.
ADDRESS = "10.10.0.1"

#: What the cluster's programs set on a machine that is their own. This one is not: they get stand-ins.
SYSCTLS = (
    "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys",
    "vm/overcommit_memory", "vm/panic_on_oom",
)  # fmt: skip


def main() -> int:
    """Run the tests; returns their exit code, or 1 with a sentence that says what is missing."""
    if os.environ.get(INSIDE):
        return _inside()
    if FIGURES in sys.argv:
        figures.write_page()
        return 0
    os.environ["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    try:
        if given.is_given() and BUILD in sys.argv:
            return 0
        return _on_the_given() if given.is_given() else _on_its_own()
    except (programs.MissingError, given.UnusableError) as error:
        print(error)
    except subprocess.CalledProcessError as error:
        print(f"A step failed: {' '.join(map(str, error.cmd))}")
    return 1


def _on_the_given() -> int:
    """Run the tests on the cluster that KUBECONFIG names."""
    with tempfile.TemporaryDirectory() as folder:
        plane = given.GivenPlane(Path(folder))
        plane.check()
        print(f"On the cluster at {plane.url}, with the image {images.analysis()}", flush=True)
    # Where names of Services can be made to resolve for the tests, and for nothing else on this machine.
    own_mounts = ["unshare", "--mount"] if os.geteuid() == 0 and shutil.which("unshare") else []
    return _pytest("tests/cluster", *sys.argv[1:], within=own_mounts)


def _on_its_own() -> int:
    """Build what a cluster of this machine's own consists of, and run the tests in namespaces with it."""
    ready.check()
    kept = Path(os.environ["ROMANHUB_ENVIRONMENTS"])
    # Before the namespaces, in which there is no network to fetch anything from.
    print("Kubernetes' programs and the images, built once and kept", flush=True)
    try:
        _build(kept)
    except subprocess.CalledProcessError as error:
        # What it asks for comes from several registries, one of which may just not have answered.
        print(f"A step failed, and is tried once more: {' '.join(map(str, error.cmd))}", flush=True)
        _build(kept)
    if sys.argv[1:] == [BUILD]:
        return 0
    namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        return subprocess.run(
            [*namespaces, sys.executable, __file__, *sys.argv[1:]], env={**os.environ, INSIDE: ADDRESS}
        ).returncode
    finally:
        cgroups.remove()


def _build(kept: Path) -> None:
    programs.ensure(kept)
    images.on_the_node(kept)


def _pytest(*words: str, within: Sequence[str] = ()) -> int:
    return subprocess.run([*within, sys.executable, "-m", "pytest", *words], cwd=ROOT).returncode


def _in_two_lanes(kept: Path) -> int:
    """Run the tests that have a control plane of their own beside those that share a node; both wait mostly.

    Parameters
    ----------
    kept
        A folder in which pytest keeps what failed: that is run once more, by itself.
    """

    def tests(name: str, *words: str, within: Sequence[str] = ()) -> run_test.Step:
        own = kept / name.replace(" ", "-")
        return run_test.Step(
            name, [*within, sys.executable, "-m", "pytest", "-o", f"cache_dir={own}", *words], own
        )

    ignored = (f"--ignore={path}" for path in WITHOUT_NODE)
    # In a network of its own, so that neither takes a port that the other has just chosen.
    network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    environment = dict(os.environ)
    beside = run_test.Lane([tests("with a control plane alone", *WITHOUT_NODE, within=network)], environment)
    results = [run_test.run_step(tests("with a node", "tests/cluster", *ignored), environment), *beside.results()]
    results = [run_test.once_more(result, environment) for result in results]
    for name in (one for result in results for one in result.unsteady):
        print(f"Failed at first, and passed alone: {name}", flush=True)
    return max(result.code for result in results)


def _inside() -> int:
    """Set up the network and the stand-ins, and run the tests."""
    for command in (
        "ip link set lo up",
        # Two ends of one cable: a network card that leads nowhere.
        "ip link add machine0 type veth peer name machine1",
        f"ip addr add {ADDRESS}/24 dev machine0",
        "ip link set machine0 up",
        "ip link set machine1 up",
        "ip route add default dev machine0",
    ):
        subprocess.run(command.split(), check=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in SYSCTLS:
            real = Path("/proc/sys", name)
            if real.exists():
                stand_in = Path(folder, name.replace("/", "."))
                stand_in.write_text(real.read_text())
                subprocess.run(["mount", "--bind", str(stand_in), str(real)], check=True)
        if SHELL in sys.argv:
            return _pytest("--capture=no", "--timeout=0", "--quiet", "tests/cluster/by_hand.py")
        return _pytest("tests/cluster", *sys.argv[1:]) if sys.argv[1:] else _in_two_lanes(Path(folder, "kept"))


if __name__ == "__main__":
    raise SystemExit(main())
