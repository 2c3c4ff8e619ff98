"""The first step of `make run` and `make test`: from a bare Python to the project's own environments.

Standard library alone, because nothing else is there yet. Run from the checkout's Makefile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from romanhub.local import environments, layout
from romanhub.local.clean import clean
from romanhub.local.environments import Environment, SetupError

#: Debian's packages that a Kubernetes of this machine's own needs, each with a file of it.
CLUSTER_PACKAGES = (
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("iproute2", "ip"),
    ("nftables", "nft"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("buildah", "buildah"),
    ("debootstrap", "debootstrap"),
)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show a line when a step begins, and how long it took once it is done."""
    started = time.monotonic()
    if sys.stdout.isatty():
        print(f"  … {what}", flush=True)
    yield
    print(f"  ✓ {what:<58} {time.monotonic() - started:6.1f} s", flush=True)


def ensure(environment: Environment, what: str, *, python: Path, uv: Callable[[], Path]) -> None:
    """Bring an environment up to its locks, with a line that says so; silent where nothing is to be done."""
    if environment.is_current(python):
        return
    with step(what):
        environments.build(environment, python=python, uv=uv())


def link_checkout(environment: Environment) -> None:
    """Let an environment import the checkout's two source roots, and give it their commands."""
    packages = _site_packages(environment)
    roots = [layout.CHECKOUT / "platform", layout.CHECKOUT / "quota"]
    (packages / "romanhub-checkout.pth").write_text("".join(f"{root}\n" for root in roots))
    for command, module in (("romanhub", "romanhub.cli"), ("hubquota", "hubquota.cli")):
        script = environment.bin / command
        script.write_text(f"#!{environment.python}\nfrom {module} import main\n\nmain()\n")
        script.chmod(0o755)


def _site_packages(environment: Environment) -> Path:
    """Where an environment's packages are."""
    return next((environment.path / "lib").glob("python3.*/site-packages"))


def hub(state: layout.State) -> Environment:
    """The hub environment, ready to run the platform from the checkout."""
    python, uv = _tools(state)
    environment = state.hub_environment()
    ensure(environment, "Hub environment (from images/hub)", python=python, uv=uv)
    link_checkout(environment)
    return environment


def tests(state: layout.State) -> tuple[Environment, Environment]:
    """The environment of the hub side's tests, and the notebook side's core environment with its tests' tools."""
    python, uv = _tools(state)
    roman = state.roman_environment()
    ensure(roman, "Roman environment (from images/roman)", python=python, uv=uv)
    folder = layout.CHECKOUT / "tests"
    platform = Environment(state.environments / "tests", (folder / "requirements.lock",))
    ensure(platform, "Test environment (from tests/)", python=python, uv=uv)
    link_checkout(platform)
    older_hub = Environment(state.environments / "tests-hub-5", (folder / "hub5.lock",))
    ensure(older_hub, "JupyterHub 5, which hubquota's tests run as well", python=python, uv=uv)
    notebook = Environment(state.environments / "tests-notebook", (folder / "notebook.lock",))
    ensure(notebook, "Test environment of the notebook's side", python=python, uv=uv)
    # The very environment that users' servers run in, seen through the tests' own.
    see = [_site_packages(roman), layout.CHECKOUT / "platform"]
    (_site_packages(notebook) / "roman-core.pth").write_text("".join(f"{path}\n" for path in see))
    return platform, notebook


def _tools(state: layout.State) -> tuple[Path, Callable[[], Path]]:
    """The interpreter to build from, and uv, which is installed only when it is needed."""
    if sys.version_info < (3, 11):  # noqa: UP036  # whoever runs make may have an older one
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(f"RomanHub needs Python 3.11 or later and this is {found}: try make PYTHON=python3.12 …")
    state.make()
    python = environments.find_python(for_other_users=os.geteuid() == 0)

    def uv() -> Path:
        return environments.find_uv(state.bootstrap_environment())

    return python, uv


def debian(package: str, *commands: str) -> str | None:
    """The first of the commands that is here, installing Debian's package for it where that is possible."""
    for command in commands:
        if found := shutil.which(command):
            return found
    _install(package)
    return next((found for command in commands if (found := shutil.which(command))), None)


def _install(*packages: str) -> None:
    """Install Debian's packages where that is possible."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with step(f"Debian's {', '.join(packages)}"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=noninteractive, **quiet)  # type: ignore[call-overload]
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        subprocess.run(install, check=False, env=noninteractive, **quiet)  # type: ignore[call-overload]


def cluster_packages() -> None:
    """Install what a Kubernetes of this machine's own needs. What is still not there is named by what needs it."""
    # Some of it is for administrators, whose folders not every PATH has.
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    if missing := [package for package, name in CLUSTER_PACKAGES if shutil.which(name) is None]:
        _install(*missing)


def main() -> None:
    """Set up, then become the command asked for: one of the Makefile's, or one of romanhub's."""
    state = layout.State(layout.default_state())
    os.environ["ROMANHUB_STATE"] = str(state.root)
    words = sys.argv[1:]
    try:
        match words:
            case ["run", *rest]:
                print("Setting up", flush=True)
                command = [str(hub(state).bin / "romanhub"), "up", *rest]
            case ["test-cluster", *rest]:
                print("Setting up", flush=True)
                platform, _ = tests(state)
                os.environ["ROMANHUB_ENVIRONMENTS"] = str(state.environments)
                os.environ["PATH"] = f"{platform.bin}{os.pathsep}{os.environ['PATH']}"
                if not os.environ.get("KUBECONFIG"):
                    cluster_packages()
                command = [str(platform.python), str(layout.CHECKOUT / "tests" / "run_cluster.py"), *rest]
            case ["test" | "bench" as what, *rest]:
                print("Setting up", flush=True)
                platform, notebook = tests(state)
                os.environ["ROMANHUB_TEST_NOTEBOOK_PYTHON"] = str(notebook.python)
                os.environ["ROMANHUB_ENVIRONMENTS"] = str(state.environments)
                os.environ["PATH"] = f"{platform.bin}{os.pathsep}{os.environ['PATH']}"
                for package, names in (
                    ("chromium", ("chromium", "chromium-browser", "google-chrome")),
                    ("postgresql", ("/usr/lib/postgresql/15/bin/postgres", "postgres")),
                    ("stilts", ("stilts",)),
                ):
                    if not debian(package, *names):
                        print(f"  – no {package} here and no root to install it: its tests are skipped")
                if what == "test" and os.environ.get("ROMANHUB_TEST_CLUSTER"):
                    cluster_packages()
                hub(state)
                command = [str(platform.python), str(layout.CHECKOUT / "tests" / f"run_{what}.py"), *rest]
            case ["clean"]:
                print(clean(state))
                return
            case _:
                command = [str(hub(state).bin / "romanhub"), *words]
    except SetupError as error:
        raise SystemExit(f"\n{error}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nStopped. The next run takes up where this one stopped.") from None
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
