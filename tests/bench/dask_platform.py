"""A platform with somebody's notebook, and a plain Dask Gateway beside it: what the benchmarks of clusters use."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import yaml
from romanhub.local import parts
from romanhub.local.ports import HOST
from romanhub.local.settings import Settings

from tests.bench.hubs import CONFIGS, ROOT, Process
from tests.support.person import Kernel, Person
from tests.support.platform import Platform, fresh_state
from tests.support.ports import free_port

#: The configuration of the platform's own gateway, which the plain one takes its commands from.
OURS = ROOT / "hub_config" / "dask_gateway_config.py"
PLAIN = CONFIGS / "plain_dask_gateway.py"


@contextlib.asynccontextmanager
async def notebook() -> AsyncIterator[tuple[Platform, Kernel]]:
    """A platform with its archive, and a Roman kernel in a person's server; nothing is left afterwards."""
    platform = Platform(fresh_state(), environment={"PYTHONPATH": os.environ["PYTHONPATH"]})
    try:
        platform.start()
        person = Person(platform.url, "ada")
        person.sign_in()
        answer = person.start_server(size="small")
        assert answer.is_success, answer.text
        kernel = await person.kernel()
        yield platform, kernel
        kernel.close()
        person.stop_server()
    finally:
        platform.remove()


async def ask(kernel: Kernel, code: str) -> Any:
    """Run a cell that prints its answer as JSON in its last line; returns the answer.

    Raises
    ------
    RuntimeError
        Where the cell fails, with its traceback.
    """
    result = await kernel.run(code)
    if result.error:
        raise RuntimeError(f"{result.text}\n{result.error}")
    lines = result.text.strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@contextlib.contextmanager
def plain_gateway(platform: Platform) -> Iterator[dict[str, str]]:
    """A plain Dask Gateway that asks the platform's hub who somebody is; yields where a client finds it."""
    settings = Settings.load(platform.state)
    folder = platform.state / "plain-gateway"
    folder.mkdir()
    tiers = yaml.safe_load(settings.tiers_file.read_text())
    dask = tiers["tiers"][tiers["first_tier"]["default"]]["dask"]
    api, web, scheduler = (free_port() for _ in range(3))
    part = parts.gateway(settings)
    environment = {
        **os.environ,
        **part.environment,
        "BENCH_PLATFORM_GATEWAY": str(OURS),
        "BENCH_GATEWAY_FOLDER": str(folder),
        "BENCH_GATEWAY_PORT": str(api),
        "BENCH_GATEWAY_WEB_PORT": str(web),
        "BENCH_GATEWAY_SCHEDULER_PORT": str(scheduler),
        "BENCH_WORKER_CORES": str(dask["worker_cores"]),
        "BENCH_WORKER_GIB": str(dask["worker_memory_gib"]),
    }
    program = str(part.command[0])
    with contextlib.ExitStack() as things:
        gateway = Process("plain-gateway", [program, "--config", str(PLAIN)], environment, folder)
        things.callback(gateway.end)
        gateway.wait_for(f"http://{HOST}:{api}/api/health")
        proxy = Process("plain-proxy", [program, "proxy", "--config", str(PLAIN)], environment, folder)
        things.callback(proxy.end)
        address = f"http://{HOST}:{web}/services/dask-gateway"
        proxy.wait_for(f"{address}/api/health")
        yield {"address": address, "proxy_address": f"gateway://{HOST}:{scheduler}"}
