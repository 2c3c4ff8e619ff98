"""A Dask cluster of the user's own, and what it costs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
from dask_gateway import Gateway, GatewayCluster
from dask_gateway.client import GatewayClusterError, GatewayServerError

from romanhub.client.account import counted, credits_text, read_me, read_tiers
from romanhub.client.connection import Portal
from romanhub.client.errors import (
    ClusterRefusedError,
    NotAllowedError,
    OutsidePlatformError,
    PortalUnavailableError,
)

#: The variable that the platform sets in every server, for Dask's own configuration.
GATEWAY_VARIABLE = "DASK_GATEWAY__ADDRESS"


def cluster(
    workers: int | None = None,
    *,
    at_most: int | None = None,
    account: str | None = None,
    shutdown_on_close: bool = True,
    **options: Any,
) -> GatewayCluster:
    """Start a Dask cluster and print what it costs.

    :param workers: starts so many workers, which run until the cluster is closed.
    :param at_most: starts workers as there is work for them, up to so many, and stops them afterwards.
        Without either number, at most as many workers as your tier allows.
    :param account: the account that pays: your own name, or that of a project you are a member of. Without
        it, the one that your server draws on.
    :param shutdown_on_close: stops the cluster when it is closed or the notebook's kernel ends.
    :param options: what the platform lets you choose of a cluster, such as `worker_cores=1`.
    :return: the cluster; `cluster.get_client()` connects to it and `cluster.close()` ends it.
    :raises ClusterRefusedError: when the platform starts no cluster; the message says why.
    :raises OutsidePlatformError: where this is no server of the platform.
    :raises ValueError: for both numbers at once, or a number below one.
    """
    if workers is not None and at_most is not None:
        raise ValueError("Give either `workers` or `at_most`, not both.")
    for name, number in (("workers", workers), ("at_most", at_most)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ValueError(f"`{name}` takes a whole number of one or more, not {number!r}.")
    if not os.environ.get(GATEWAY_VARIABLE):
        raise OutsidePlatformError(
            "This code does not run in a server of the platform, so it can start no Dask cluster. Start a "
            "server on the platform and run it in a notebook there."
        )
    portal = Portal.from_environment()
    if account is not None:
        options["account"] = account
    try:
        chosen, payer = _chosen(options)
        limits = _limits(portal, payer)
        if limits is not None:
            workers, at_most = limits.within(workers), limits.within(at_most)
            if workers is None and at_most is None:
                at_most = limits.workers
        started = GatewayCluster(cluster_options=chosen, shutdown_on_close=shutdown_on_close)
        try:
            if workers is not None:
                started.scale(workers)
            else:
                started.adapt(minimum=0, maximum=at_most)
        except BaseException:
            started.close(shutdown=True)
            raise
    except GatewayServerError:
        raise ClusterRefusedError(
            "The Dask gateway met an error of its own and started no cluster. Run the cell again; if it "
            "happens again, please tell the platform's operators."
        ) from None
    except GatewayClusterError:
        raise ClusterRefusedError(
            "The Dask gateway accepted the cluster, but it did not start. Run the cell again; if it happens "
            "again, please tell the platform's operators."
        ) from None
    except ValueError as error:
        raise ClusterRefusedError(_sentence(str(error))) from None
    except aiohttp.ClientResponseError as error:
        raise _answered(error.status) from None
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise ClusterRefusedError(
            "The Dask gateway does not answer, so no cluster was started. Wait a minute and run the cell "
            "again; if it happens again, please tell the platform's operators."
        ) from None
    print(_announcement(limits, workers, at_most, payer))  # noqa: T201  -- a notebook's user reads it
    return started


@dataclass(frozen=True)
class _Limits:
    """What the user's tier says of Dask clusters, and what the user has."""

    title: str
    workers: int
    price: Decimal
    available: Decimal | None

    def within(self, asked: int | None) -> int | None:
        """Return the number asked for, or the tier's if that is smaller, and say so.

        A tier without workers is left to the gateway, which refuses and says how to ask for more.
        """
        if asked is None or asked <= self.workers or self.workers == 0:
            return asked
        print(  # noqa: T201  -- a notebook's user reads it
            f"Your tier, {self.title}, allows {counted(self.workers, 'worker')} at once, so the cluster gets "
            f"{self.workers} instead of {asked}."
        )
        return self.workers


def _limits(portal: Portal, payer: str | None) -> _Limits | None:
    """Return the limits of the user's tier, or None while the portal cannot tell them or another account pays."""
    try:
        me, tiers = read_me(portal), read_tiers(portal)
    except PortalUnavailableError:
        return None
    if me.tier not in tiers.tiers or payer not in (None, me.name):
        return None
    tier = tiers.tiers[me.tier]
    return _Limits(tier.title, tier.dask.workers, tier.dask.price, me.balance.available if me.balance else None)


def _chosen(options: dict[str, Any]) -> tuple[Any, str | None]:
    """Return the gateway's options with the user's choices, and the account that pays, where there is a choice.

    Raises ClusterRefusedError for an option that the platform does not offer or a value that it does not allow.
    """
    # Not closed here: it closes itself when it is let go of, and complains then if somebody has closed it before.
    offered = Gateway().cluster_options(use_local_defaults=False)
    for name, value in options.items():
        if name not in offered:
            names = ", ".join(sorted(offered)) or "none"
            raise ClusterRefusedError(f"A cluster has no option `{name}`. The options are: {names}.")
        try:
            offered[name] = value
        except (ValueError, TypeError) as error:
            raise ClusterRefusedError(f"{_sentence(str(error))} The platform allows no other value.") from None
    return offered, offered.get("account")


def _answered(status: int) -> Exception:
    """Return the error for an answer of the gateway that is neither success nor a refusal in words."""
    if status in (401, 403):
        return NotAllowedError(
            "The Dask gateway refused this server's token. Restart your server (File, Hub Control Panel, "
            "Stop My Server, then Start My Server) and run the cell again."
        )
    return ClusterRefusedError(
        f"The Dask gateway could not start a cluster (HTTP status {status}). Wait a minute and run the cell "
        "again; if it happens again, please tell the platform's operators."
    )


def _announcement(limits: _Limits | None, workers: int | None, at_most: int | None, payer: str | None) -> str:
    """Return what the started cluster costs, as sentences."""
    close = "`cluster.close()` ends it."
    if limits is None and payer is not None:
        return f"A Dask cluster has started. The account {payer} pays for it. {close}"
    if limits is None:
        return f"A Dask cluster has started. What it costs could not be read from the portal. {close}"
    balance = f" Your balance is {credits_text(limits.available)} credits." if limits.available is not None else ""
    if workers is not None:
        each = f" ({credits_text(limits.price)} for each)" if workers > 1 else ""
        return (
            f"A Dask cluster with {counted(workers, 'worker')} has started. While they run they cost "
            f"{credits_text(workers * limits.price)} credits an hour{each}.{balance} {close}"
        )
    count = at_most or limits.workers
    return (
        f"A Dask cluster with at most {counted(count, 'worker')} has started. Each worker costs "
        f"{credits_text(limits.price)} credits an hour while it runs, all together at most "
        f"{credits_text(count * limits.price)}.{balance} {close}"
    )


def _sentence(text: str) -> str:
    """Return the gateway's words as one sentence or more: on one line, with a full stop."""
    plain = " ".join(text.split())
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."
