"""Secrets of a cluster: what is there, and copies of what is kept in another namespace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from romanhub.chart.secretlist import Secret
from romanhub.local.environments import SetupError

#: The annotation of a copy that says where it was copied from: NAMESPACE/NAME.
COPIED_FROM = "romanhub.org/copied-from"

#: How long the cluster may take to answer, in seconds.
_PATIENCE = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A Secret that is in the cluster."""

    #: Its values as Kubernetes hands them out, in base64. They are compared and copied, and never shown.
    data: Mapping[str, str] = field(repr=False)
    #: Its type, such as kubernetes.io/tls.
    kind: str = "Opaque"
    #: Where it was copied from, NAMESPACE/NAME; None where it is no copy.
    source: str | None = None


def names(kept: Mapping[str, Kept]) -> dict[str, dict[str, bool]]:
    """Of each Secret the names of its values, with whether each holds anything."""
    return {name: {key: bool(value) for key, value in one.data.items()} for name, one in kept.items()}


def place(given: str) -> tuple[str, str]:
    """The namespace and the name of NAMESPACE/NAME.

    Raises
    ------
    SetupError
        It is not of that form.
    """
    namespace, slash, name = given.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise SetupError(f"{given} is no place of a Secret: write NAMESPACE/NAME.")
    return namespace, name


def copy_of(name: str, declared: Mapping[str, Secret], source: str, kept: Kept | None) -> dict[str, Any]:
    """The manifest of a Secret that is a copy of another one.

    Parameters
    ----------
    name
        The Secret that the copy becomes.
    declared
        What the file of secrets says.
    source
        Where it is kept, NAMESPACE/NAME.
    kept
        What is there; None where nothing is.

    Raises
    ------
    SetupError
        The file does not say that it is copied, or the source lacks something.
    """
    secret = declared.get(name)
    wanted = [key for key, said in secret.keys.items() if said.from_ == "copied"] if secret else []
    if not wanted:
        copied = [
            one for one, said in declared.items() if any(key.from_ == "copied" for key in said.keys.values())
        ]
        raise SetupError(f"{name} is not copied: the list says so of {', '.join(copied) or 'none'} alone.")
    if kept is None:
        raise SetupError(f"There is no Secret {source} to copy {name} from.")
    if missing := [key for key in wanted if not kept.data.get(key)]:
        raise SetupError(f"The Secret {source} has no {missing[0]}, which {name} needs.")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "annotations": {COPIED_FROM: source}},
        "type": kept.kind,
        "data": {key: kept.data[key] for key in wanted},
    }


def differences(
    declared: Mapping[str, Secret], here: Mapping[str, Kept], sources: Mapping[str, Kept | None]
) -> Iterator[tuple[bool, str]]:
    """What of the copies is not as where it is kept: whether that is wrong, and a sentence.

    Parameters
    ----------
    declared
        What the file of secrets says.
    here
        The Secrets of the platform's namespace.
    sources
        What is at each place that a copy names; None where nothing is. A place that could not be read is left out.
    """
    for name, secret in declared.items():
        copy = here.get(name)
        if copy is None or copy.source is None:
            continue
        if copy.source not in sources:
            yield False, f"{name}: whether it is as {copy.source}, where it is kept, cannot be seen."
            continue
        kept = sources[copy.source]
        if kept is None:
            yield False, f"{name}: {copy.source}, where it was copied from, is not there any more."
            continue
        for key, said in secret.keys.items():
            if said.from_ == "copied" and copy.data.get(key) != kept.data.get(key):
                yield (
                    True,
                    f"{name}: {key} is not as in {copy.source}, where it is kept: "
                    f"`romanhub secrets copy {name}` brings it.",
                )


class ClusterSecrets:
    """The Secrets of a cluster."""

    def __init__(self, api: Any) -> None:
        """Ask a `CoreV1Api`."""
        self._api = api

    async def of(self, namespace: str) -> dict[str, Kept]:
        """Return the Secrets of a namespace, by name; raises SetupError where they are not shown."""
        listed = await self._ask(
            namespace, self._api.list_namespaced_secret(namespace, _request_timeout=_PATIENCE)
        )
        return {one.metadata.name: _kept(one) for one in listed.items}

    async def at(self, source: str) -> Kept | None:
        """Return the Secret at NAMESPACE/NAME; None where there is none. Raises SetupError as `of` does."""
        namespace, name = place(source)
        asked = self._api.read_namespaced_secret(name, namespace, _request_timeout=_PATIENCE)
        found = await self._ask(namespace, asked, missing=True)
        return None if found is None else _kept(found)

    async def sources(self, here: Mapping[str, Kept]) -> dict[str, Kept | None]:
        """Return what is at the places that copies name; what may not be read is left out."""
        found: dict[str, Kept | None] = {}
        for source in {one.source for one in here.values() if one.source is not None}:
            try:
                found[source] = await self.at(source)
            except SetupError:
                continue
        return found

    async def _ask(self, namespace: str, asked: Any, *, missing: bool = False) -> Any:
        import aiohttp
        from kubernetes_asyncio.client import ApiException

        try:
            return await asked
        except ApiException as error:
            if missing and error.status == 404:
                return None
            raise SetupError(f"The cluster does not show the Secrets of {namespace}: {error.reason}.") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SetupError(f"The cluster does not answer: {error}.") from None


@asynccontextmanager
async def cluster_secrets(kubeconfig: str | None) -> AsyncIterator[ClusterSecrets]:
    """Reach the Secrets of the cluster that KUBECONFIG names, while the block runs.

    Raises
    ------
    SetupError
        There is no such cluster.
    """
    # Imported here: the rest of this module needs no cluster.
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.config import ConfigException

    try:
        await config.load_kube_config(config_file=kubeconfig)
    except ConfigException as error:
        raise SetupError(
            f"There is no cluster to ask: {str(error).rstrip('.')}. KUBECONFIG names its file."
        ) from None
    async with client.ApiClient() as api:
        yield ClusterSecrets(client.CoreV1Api(api))


def _kept(secret: Any) -> Kept:
    notes = secret.metadata.annotations or {}
    return Kept(secret.data or {}, secret.type or "Opaque", notes.get(COPIED_FROM))
