"""`romanhub up`: from a folder of state to a running platform, and back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx
from hubquota.models.delivery import DeliverySettings
from hubquota.models.purge_settings import PurgeSettings
from hubquota.services.settingsfile import SettingsFileError, load_settings
from hubquota.services.tiersfile import TiersFileError, load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from pydantic import ValidationError

from romanhub.community.proof.settings import load_run_settings
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.local import parts, ports, sample_archive, secrets
from romanhub.local.analysis import ensure_roman, place
from romanhub.local.archive_index import index
from romanhub.local.aws import write_aws_config
from romanhub.local.environments import SetupError, others_can_reach
from romanhub.local.layout import State
from romanhub.local.lock import alone
from romanhub.local.node_packages import ensure_proxy, ensure_viewer
from romanhub.local.screen import Screen
from romanhub.local.settings import ADMIN, REGION, Settings
from romanhub.local.supervisor import Supervisor
from romanhub.local.system_users import can_separate
from romanhub.services.datasetsfile import DatasetsFileError, load_datasets
from romanhub.sign_in.local_accounts import first_password
from romanhub.sign_in.oidc import discover
from romanhub.sign_in.settings import load_sign_in


def up(state: State, *, port: int, full: bool, archive: Path, screen: Screen) -> None:
    """Start the platform, say where it is, and keep it running until it is told to end.

    Parameters
    ----------
    state
        The folder of state.
    port
        The port that people sign in at.
    full
        Whether users' servers have the whole analysis image rather than its core.
    archive
        The folder of the sample archive that the archive server holds.
    screen
        Shows what happens.

    Raises
    ------
    SetupError
        Where something must be put right first; nothing is left running.
    """
    started = time.monotonic()
    os.environ["ROMANHUB_STATE"] = str(state.root)
    os.environ["ROMANHUB_FULL"] = "1" if full else "0"
    # The parts run in another folder, where a relative path would name another file.
    for name in (
        "ROMANHUB_TIERS",
        "ROMANHUB_DATASETS",
        "ROMANHUB_SIGN_IN",
        "ROMANHUB_NOTICES",
        "ROMANHUB_PURGE",
        "ROMANHUB_RUNS",
    ):
        if given := os.environ.get(name):
            os.environ[name] = str(Path(given).resolve())
    try:
        state.make()
        with alone(state) as lock:
            settings = _prepare(state, port=port, full=full, screen=screen)
            asyncio.run(_run(settings, archive, lock, screen, started))
    except OSError as error:
        if error.filename and isinstance(error, PermissionError):
            raise SetupError(
                f"{error.filename} cannot be written. Set ROMANHUB_STATE to a folder of yours."
            ) from None
        if error.errno == 28:  # ENOSPC
            raise SetupError(
                f"The disk that holds {state.root} is full. Free some room and start again."
            ) from None
        raise


def _prepare(state: State, *, port: int, full: bool, screen: Screen) -> Settings:
    """Everything that can be found wrong or made ready before a process starts."""
    if os.geteuid() == 0 and not others_can_reach(state.root):
        raise SetupError(
            f"Started as root, users' servers run as system users of their own, and these cannot enter "
            f"{state.root}. Set ROMANHUB_STATE to a folder that everybody may enter, such as /var/lib/romanhub."
        )
    if os.geteuid() == 0 and not can_separate():
        raise SetupError(
            "Started as root, every user's server runs as a system user of its own, and the command useradd, "
            "which makes these, is not here. Install it (on Debian: apt-get install passwd), or run this as an "
            "ordinary user."
        )
    kept = secrets.make(state.private / "secrets.json")
    chosen = ports.choose(state.private / "ports.json", port)
    settings = Settings(state, chosen, kept, full=full)
    try:
        load_tiers(settings.tiers_file)
        load_datasets(settings.datasets_file)
        if settings.notices_file is not None:
            load_settings(settings.notices_file, DeliverySettings)
        if settings.purge_file is not None:
            load_settings(settings.purge_file, PurgeSettings)
        load_run_settings(None if settings.runs_file is None else str(settings.runs_file))
        _check_community(settings)
        if provider := load_sign_in():
            with httpx.Client(timeout=10) as client:
                discover(provider, client)
    except (TiersFileError, DatasetsFileError, SettingsFileError) as error:
        raise SetupError(str(error)) from None
    ensure_proxy(state, screen=screen)
    ensure_viewer(state, screen=screen)
    roman = ensure_roman(state, full=full, screen=screen)
    place(roman)
    write_aws_config(state.aws_config, python=roman.python, endpoint=settings.archive_endpoint, region=REGION)
    with screen.step("Ledger and catalogue"):
        migrate(make_engine(settings.ledger_url))
        migrate(make_engine(settings.community_url), MIGRATIONS)
    return settings


async def _run(settings: Settings, folder: Path, lock: int, screen: Screen, started: float) -> None:
    """Start the parts, wait for the end, end the parts."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    supervisor = Supervisor(settings.state.logs, lock, screen.say)
    ending = asyncio.create_task(ended.wait())
    try:
        starting = asyncio.create_task(_start(settings, folder, supervisor, screen))
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        _welcome(settings, screen, time.monotonic() - started)
        failing = asyncio.create_task(supervisor.wait())
        await asyncio.wait({failing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
        failing.cancel()
    finally:
        screen.say()
        with screen.step("Ending everything that was started"):
            await supervisor.stop(parts.STOP_ORDER)
        screen.say("  Users, homes and data stay: the next start continues with them.")


async def _start(settings: Settings, folder: Path, supervisor: Supervisor, screen: Screen) -> None:
    """Start the parts; those that do not wait for each other start together."""

    async def archive() -> None:
        await supervisor.start(parts.archive(settings))

    async def front() -> None:
        await supervisor.start(parts.proxy(settings))
        await supervisor.start(parts.hub(settings))

    async def gateway() -> None:
        await supervisor.start(parts.gateway(settings))
        await supervisor.start(parts.gateway_proxy(settings))

    with screen.step("Archive, hub, gateway and portal"):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(archive())
                group.create_task(front())
                group.create_task(gateway())
                group.create_task(supervisor.start(parts.portal(settings)))
                group.create_task(supervisor.start(parts.broker(settings)))
                group.create_task(supervisor.start(parts.search(settings)))
        except ExceptionGroup as failures:
            # The first one that went wrong has ended the others; it is the one to tell.
            raise failures.exceptions[0] from None
    await supervisor.start(parts.watch(settings))
    await supervisor.start(parts.runner(settings))
    client = sample_archive.connect(settings)
    with screen.bar("Archive: the sample's exposures") as progress:
        await asyncio.to_thread(sample_archive.publish, folder, client, progress=progress)
    with screen.step("Archive: the index of what there is"):
        await asyncio.to_thread(index, settings)


def _welcome(settings: Settings, screen: Screen, seconds: float) -> None:
    """Say where the platform is, how to sign in, and what to try next."""
    screen.say()
    screen.say(f"RomanHub is ready after {seconds:.0f} s: {settings.url}")
    screen.say()
    if load_sign_in() is None:
        password = first_password(settings.passwords, ADMIN)
        if password:
            screen.say(f"  Administrator   user name {ADMIN}, password {password}")
            screen.say(f"                  (shown this once; for a new one: romanhub password {ADMIN})")
        else:
            screen.say(f"  Administrator   user name {ADMIN}, with the password of the first start")
        screen.say(
            "  Everybody else  choose a user name, and a password of 10 characters or more at first sign-in"
        )
    else:
        screen.say("  Sign-in         through your institution, as configured")
    screen.say("  Try next        sign in, choose a size, open welcome.ipynb and run it from top to bottom")
    screen.say(f"  Your page       {settings.url}/services/portal/")
    screen.say(f"  State and logs  {settings.state.root}")
    if settings.users.separate:
        screen.say("  Privacy         each user's server runs as a system user of its own; homes are private")
    else:
        name = os.environ.get("USER") or str(os.geteuid())
        screen.say(
            f"  Privacy         not started as root: all servers and homes share the system user {name}, "
            "so users can read each other's files. Use it alone, or start it as root."
        )
    screen.say()
    screen.say("Ctrl-C ends everything.")
    sys.stdout.flush()


def _check_community(settings: Settings) -> None:
    """Say what is wrong with the catalogue's settings while somebody looks at the screen. Raises SetupError."""
    given = {
        name.removeprefix("ROMANHUB_COMMUNITY_").lower(): value
        for name, value in settings.community_variables.items()
    }
    try:
        CommunitySettings.model_validate({"database_url": settings.community_url, **given})
    except ValidationError as error:
        wrong = [f"ROMANHUB_COMMUNITY_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise SetupError("\n".join(wrong)) from None
