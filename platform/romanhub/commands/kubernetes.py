"""`romanhub kubernetes` and `romanhub secrets`: what an operator of a cluster needs beside helm and kubectl."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from romanhub.local.environments import SetupError
from romanhub.local.layout import deployment

_FOLDER = Path("helm", "romanhub")


def _chart() -> Path:
    return deployment() / _FOLDER


@click.group()
def kubernetes() -> None:
    """Check and prepare the platform on Kubernetes."""


_tiers = click.argument("tiers", type=click.Path(dir_okay=False, path_type=Path))
_values = click.option(
    "--values",
    "-f",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Your file of values, whose `nodes` count.",
)


def _nodes(values: Path) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    from romanhub.chart.values import NodePool

    try:
        return TypeAdapter(dict[str, NodePool]).validate_python(_said(values).get("nodes") or {})
    except ValidationError as error:
        lines = [f"{values}: nodes.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SetupError("\n".join(lines)) from None


def _said(values: Path) -> dict[str, Any]:
    """What a file of values says."""
    try:
        said = yaml.safe_load(values.read_text()) or {}
    except OSError as error:
        raise SetupError(f"{values} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError:
        said = None
    if not isinstance(said, dict):
        raise SetupError(f"{values} is not a YAML file of values.")
    return said


@kubernetes.command("check")
@_tiers
@_values
def check(tiers: Path, values: Path) -> None:
    """Say what is wrong with the file TIERS, and which of its machines no node can hold."""
    from hubquota.services.tiersfile import TiersFileError, load_tiers

    from romanhub.chart.nodes import misfits

    try:
        found = list(misfits(load_tiers(tiers), _nodes(values)))
    except TiersFileError as error:
        raise click.ClickException(str(error)) from None
    if found:
        raise click.ClickException("\n".join(found))
    click.echo(f"{tiers}: every machine fits on a node.")


@kubernetes.command("nodes")
@_tiers
@_values
def nodes(tiers: Path, values: Path) -> None:
    """Print how many of each machine of the file TIERS fit on each kind of node, as a Markdown table."""
    from hubquota.services.tiersfile import TiersFileError, load_tiers

    from romanhub.chart.nodes import table

    try:
        click.echo(table(load_tiers(tiers), _nodes(values)), nl=False)
    except TiersFileError as error:
        raise click.ClickException(str(error)) from None


@kubernetes.command("prepare")
def prepare_database() -> None:
    """Check the files, reach the databases, bring the ledger's up to date: the chart's job before an install."""
    from romanhub.chart.prepare import prepare

    for line in prepare(os.environ):
        click.echo(line)


@kubernetes.command("run")
@click.argument("program", type=click.Choice(["gateway", "controller"]))
def run(program: str) -> None:
    """Run one of the two programs of Dask Gateway, as the chart's pods do."""
    config = deployment() / "hub_config" / "kubernetes" / "dask_gateway_config.py"
    modules = {"gateway": "dask_gateway_server", "controller": "romanhub.kubernetes.controller"}
    os.execv(sys.executable, [sys.executable, "-m", modules[program], "--config", str(config)])  # noqa: S606


@kubernetes.command("write-chart")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; fail where a file is not as it should be."
)
def write_chart(only_check: bool) -> None:
    """Write the chart's files that are made from typed models: its schema, and who may do what."""
    from romanhub.chart.rbac import rbac_text
    from romanhub.chart.values import schema_text

    if not (_chart() / "Chart.yaml").is_file():
        raise click.ClickException("The chart is in the checkout alone: run this there.")
    for name, content in (("values.schema.json", schema_text()), ("files/rbac.yaml", rbac_text())):
        path = _chart() / name
        if only_check and path.read_text() != content:
            raise click.ClickException(f"{path} is not up to date: romanhub kubernetes write-chart")
        if not only_check:
            path.write_text(content)
            click.echo(str(path))


@click.group()
def secrets() -> None:
    """Make the platform's secrets on Kubernetes, and compare a cluster with the list of them."""


_namespace = click.option("--namespace", "-n", required=True, help="The platform's namespace.")
_kubeconfig = click.option(
    "--kubeconfig", envvar="KUBECONFIG", help="The cluster's file; kubectl's own by default."
)
_file = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The list of secrets; helm/romanhub/files/secrets.yaml by default.",
)


def _list_of(path: Path | None) -> Path:
    return path or _chart() / "files" / "secrets.yaml"


@secrets.command("audit")
@_namespace
@_kubeconfig
@_file
@click.option(
    "--values",
    "-f",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your file of values: it says which of the secrets you need.",
)
def audit_cluster(namespace: str, kubeconfig: str | None, path: Path | None, values: Path | None) -> None:
    """Say which secrets a cluster lacks, which copies are old, and which are in no list. No value is shown."""
    from romanhub.chart.secretcopies import cluster_secrets, differences, names
    from romanhub.chart.secretlist import audit, holding, load_secrets, unknown

    declared = load_secrets(_list_of(path))
    holds = unknown if values is None else holding(_said(values))

    async def look() -> list[tuple[bool, str]]:
        async with cluster_secrets(kubeconfig) as cluster:
            here = await cluster.of(namespace)
            old = differences(declared, here, await cluster.sources(here))
            return [*audit(declared, names(here), holds), *old]

    findings = asyncio.run(look())
    for wrong, sentence in findings:
        click.echo(f"{'✗' if wrong else '·'} {sentence}")
    missing = sum(wrong for wrong, _ in findings)
    if missing:
        raise click.ClickException(f"{missing} missing or old in {namespace}.")
    click.echo(f"Everything that {namespace} needs is there.")


@secrets.command("generate")
@_namespace
@_kubeconfig
@_file
def generate(namespace: str, kubeconfig: str | None, path: Path | None) -> None:
    """Print a manifest of what is generated and not in the cluster yet, for `kubectl apply --server-side -f -`."""
    from romanhub.chart.secretcopies import cluster_secrets, names
    from romanhub.chart.secretlist import load_secrets, manifests

    declared = load_secrets(_list_of(path))

    async def make() -> list[dict[str, Any]]:
        async with cluster_secrets(kubeconfig) as cluster:
            return manifests(declared, names(await cluster.of(namespace)))

    _print(asyncio.run(make()), namespace)


@secrets.command("copy")
@click.argument("name", required=False)
@_namespace
@click.option("--from", "source", metavar="NAMESPACE/NAME", help="Where it is kept; where it was, if not given.")
@_kubeconfig
@_file
def copy(name: str | None, namespace: str, source: str | None, kubeconfig: str | None, path: Path | None) -> None:
    """Print the Secret NAME as a copy of one in another namespace, for `kubectl apply --server-side -f -`.

    Without a NAME: of all that were copied before, as they are now where they are kept.
    """
    from romanhub.chart.secretcopies import cluster_secrets, copy_of
    from romanhub.chart.secretlist import load_secrets

    declared = load_secrets(_list_of(path))
    if source is not None and name is None:
        raise SetupError("Say which Secret it is that is copied from there: romanhub secrets copy NAME --from …")

    async def make() -> list[dict[str, Any]]:
        async with cluster_secrets(kubeconfig) as cluster:
            here = await cluster.of(namespace)
            places = {one: kept.source for one, kept in here.items() if kept.source is not None}
            if name is not None:
                places = {name: found} if (found := source or places.get(name)) else {}
                if not places:
                    raise SetupError(
                        f"{name} was never copied here: say where it is kept by --from NAMESPACE/NAME."
                    )
            return [copy_of(one, declared, kept_at, await cluster.at(kept_at)) for one, kept_at in places.items()]

    _print(asyncio.run(make()), namespace)


def _print(made: list[dict[str, Any]], namespace: str) -> None:
    for one in made:
        one["metadata"]["namespace"] = namespace
    click.echo(yaml.safe_dump_all(made, sort_keys=False) if made else "# Nothing is missing.", nl=False)
