"""A Dask cluster of the user's own, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from romanhub.client.account import counted, credits_text
from romanhub.client.clusters import Offer, read_offer, time_text
from romanhub.client.connection import Portal
from romanhub.client.credentials import source
from romanhub.client.environment import OPTION, identity
from romanhub.client.errors import (
    ClusterRefusedError,
    NotAllowedError,
    OutsidePlatformError,
    PortalUnavailableError,
)
from romanhub.client.gateway import ClosingGateway, in_a_sentence, sentence
from romanhub.client.running import RomanHubCluster

#: The variable that the platform sets in every server, for Dask's own configuration.
GATEWAY_VARIABLE = "DASK_GATEWAY__ADDRESS"


def cluster(
    workers: int | None = None,
    *,
    at_most: int | None = None,
    account: str | None = None,
    dataset: str | None = None,
    shutdown_on_close: bool = True,
    **options: Any,
) -> RomanHubCluster:
    """Print what a Dask cluster costs and how long that can be paid, and start it.

    :param workers: starts so many workers, which run until the cluster is closed.
    :param at_most: starts workers as there is work for them, up to so many, and stops them afterwards.
        Without either number, at most as many workers as your tier allows.
    :param account: the account that pays: your own name, or that of a project you are a member of. Without
        it, the one that your server draws on.
    :param dataset: the name of the data set that the cluster is to read, such as "roman-l2". Where its data are in
        another region than clusters, the platform refuses the cluster or warns you.
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
    portal, environment = Portal.from_environment(), identity()
    if account is not None:
        options["account"] = account
    if dataset is not None:
        options["region"] = _region(dataset)
    try:
        chosen = _chosen(options, environment)
    except Exception as error:
        raise in_a_sentence(error) from None
    plan = _plan(portal, chosen, workers, at_most)
    for line in plan.before:
        print(line)  # noqa: T201  -- a notebook's user reads it
    started = RomanHubCluster(cluster_options=chosen, shutdown_on_close=shutdown_on_close)
    try:
        if plan.fixed:
            started.gateway.sync(started._ask, "scale", {"count": plan.workers})
        else:
            asked = {"minimum": 0, "maximum": plan.workers, "active": True}
            started.gateway.sync(started._ask, "adapt", asked)
    except BaseException:
        started.close(shutdown=True)
        raise
    print(f"The cluster has started.{plan.payer} `cluster.close()` ends it.")  # noqa: T201
    return started


@dataclass(frozen=True)
class _Plan:
    """How many workers are asked for, and what the user reads before."""

    workers: int | None
    #: Whether so many start at once; otherwise they come with the work.
    fixed: bool
    before: Sequence[str]
    #: Who pays, as a sentence after a blank, where that is not the user's own account.
    payer: str = ""


def _plan(portal: Portal, chosen: Any, workers: int | None, at_most: int | None) -> _Plan:
    """Return what to ask for: what the user wants, or the limit where that is smaller."""
    wanted, fixed = workers if workers is not None else at_most, workers is not None
    size = {name: chosen[name] for name in ("worker_cores", "worker_memory") if name in chosen}
    try:
        offer = read_offer(portal, chosen.get("account"), **size)
    except (PortalUnavailableError, NotAllowedError):
        return _Plan(wanted, fixed, ["What the cluster costs could not be read from the portal."])
    if offer.workers == 0:
        # The gateway refuses it, and says how to ask for more.
        return _Plan(wanted, fixed, [])
    before = []
    number = offer.workers if wanted is None else min(wanted, offer.workers)
    if wanted is not None and number < wanted:
        whose = f"Your tier, {offer.tier}," if offer.own else f"The tier of {offer.account}, {offer.tier},"
        before.append(
            f"{whose} allows {counted(offer.workers, 'worker')} at once, so the cluster gets "
            f"{number} instead of {wanted}."
        )
    if 0 < offer.room < number:
        before.append(
            f"{counted(offer.room, 'worker')} of {number} would fit now; others follow as there is room."
        )
    payer = "" if offer.own else f" The account {offer.account} pays for it."
    return _Plan(number, fixed, [*before, _cost(offer, number, fixed)], payer)


def _cost(offer: Offer, number: int, fixed: bool) -> str:
    """Return what workers cost and how long that can be paid, as sentences."""
    whose = "Your balance" if offer.own else f"What you can use of {offer.account}"
    has = f"{whose}, {credits_text(offer.available)} credits,"
    total = number * offer.price
    if not total:
        return f"{counted(number, 'worker')} {'costs' if number == 1 else 'cost'} nothing."
    lasts = time_text(int(max(Decimal(0), offer.available) / (total + offer.running) * 3600))
    beside = " beside what runs already" if offer.running else ""
    if fixed:
        each = f" ({credits_text(offer.price)} for each)" if number > 1 else ""
        cost = f"{counted(number, 'worker')} {'costs' if number == 1 else 'cost'} {credits_text(total)} credits"
        return f"{cost} an hour{each}. {has} pays for {lasts} of that{beside}."
    return (
        f"A worker costs {credits_text(offer.price)} credits an hour while it runs, {number} together "
        f"{credits_text(total)}. {has} pays for {lasts} of all {number}{beside}."
        if number > 1
        else f"A worker costs {credits_text(total)} credits an hour while it runs. {has} pays for {lasts}{beside}."
    )


def _region(dataset: str) -> str:
    """Return the region that a data set is in; raises ClusterRefusedError where there is none of that name."""
    datasets = source().current().datasets
    if dataset not in datasets:
        names = ", ".join(sorted(datasets)) or "none"
        raise ClusterRefusedError(f"You can read no data set named {dataset!r}. There are: {names}.")
    return datasets[dataset].region


def _chosen(options: dict[str, Any], environment: str) -> Any:
    """Return the gateway's options with the user's choices.

    Raises ClusterRefusedError for an option that the platform does not offer or a value that it does not allow.
    """
    with ClosingGateway() as gateway:
        offered = gateway.cluster_options(use_local_defaults=False)
    for name, value in options.items():
        if name not in offered or name == OPTION:
            names = ", ".join(sorted(set(offered) - {OPTION})) or "none"
            raise ClusterRefusedError(f"A cluster has no option `{name}`. The options are: {names}.")
        try:
            offered[name] = value
        except (ValueError, TypeError) as error:
            raise ClusterRefusedError(f"{sentence(str(error))} The platform allows no other value.") from None
    if OPTION in offered:
        offered[OPTION] = environment
    return offered
