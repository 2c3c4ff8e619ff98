"""The file of secrets: which there are, where each comes from, and a comparison of a cluster with it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, RootModel, ValidationError

from romanhub.chart.model import ObjectName, Values
from romanhub.local.environments import SetupError

#: What makes a generated value, by how it looks.
_MAKERS = {
    "hex": lambda: secrets.token_hex(32),
    "fernet": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "password": lambda: secrets.token_urlsafe(18),
}


class Key(Values):
    """One value of a Secret."""

    from_: Literal["generated", "given", "copied"] = Field(alias="from", description="Where it comes from.")
    kind: Literal["hex", "fernet", "password"] | None = Field(
        default=None, description="How a generated value looks."
    )
    about: str = Field(min_length=5, description="What it is for, in one sentence.")


class Secret(Values):
    """One Secret of the namespace."""

    about: str = Field(min_length=5, description="What it is for, in one sentence.")
    when: str | None = Field(default=None, description="When it is needed; always if not given.")
    readers: list[str] = Field(min_length=1, description="The parts that read it.")
    keys: dict[str, Key] = Field(min_length=1, description="Its values, by name.")


class SecretList(RootModel[dict[ObjectName, Secret]]):
    """The whole file."""


def load_secrets(path: Path) -> dict[str, Secret]:
    """What the file says.

    Raises
    ------
    SetupError
        It cannot be read, or is not right: a line for each mistake.
    """
    try:
        return SecretList.model_validate(yaml.safe_load(path.read_text())).root
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError:
        raise SetupError(f"{path} is not YAML.") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SetupError("\n".join(lines)) from None


#: What a cluster has: of each Secret the names of its values, with whether each holds anything.
Found = Mapping[str, Mapping[str, bool]]


def audit(declared: Mapping[str, Secret], found: Found) -> Iterator[tuple[bool, str]]:
    """What is not as the file says: whether it keeps the platform from running, and a sentence."""
    for name, secret in declared.items():
        here = found.get(name)
        if secret.when is not None and here is None:
            yield False, f"{name} is not there. It is needed when {secret.when}."
            continue
        for key, said in secret.keys.items():
            if here is None or key not in here or not here[key]:
                state = "empty" if here is not None and key in here else "missing"
                yield True, f"{name}: {key} is {state}: {_remedy(key, said)}"
        for key in sorted(set(here or ()) - set(secret.keys)):
            yield False, f"{name}: {key} is in no list; if nothing of yours reads it, remove it."
    for name in sorted(one for one in set(found) - set(declared) if one.startswith("romanhub-")):
        yield False, f"{name} is in no list; if nothing of yours reads it, remove it."


def _remedy(key: str, said: Key) -> str:
    if said.from_ == "generated":
        return "`romanhub secrets generate` makes it."
    if said.from_ == "copied":
        return f"whoever keeps it copies it here ({said.about})"
    return f"you give it ({said.about})"


def manifests(declared: Mapping[str, Secret], found: Found) -> list[dict[str, Any]]:
    """Manifests with what is generated and not there yet. What is there stays: other values end sessions."""
    made = []
    for name, secret in declared.items():
        here = found.get(name, {})
        fresh = {
            key: _MAKERS[said.kind or "hex"]()
            for key, said in secret.keys.items()
            if said.from_ == "generated" and not here.get(key)
        }
        if fresh:
            made.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": fresh})
    return made


async def found_in(namespace: str, kubeconfig: str | None) -> dict[str, dict[str, bool]]:
    """The Secrets of a namespace of the cluster that KUBECONFIG names, without their values.

    Raises
    ------
    SetupError
        The cluster cannot be asked.
    """
    # Imported here: the rest of this module needs no cluster.
    import aiohttp
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.config import ConfigException

    try:
        await config.load_kube_config(config_file=kubeconfig)
        async with client.ApiClient() as api:
            listed = await client.CoreV1Api(api).list_namespaced_secret(namespace, _request_timeout=20)
    except ConfigException as error:
        raise SetupError(
            f"There is no cluster to ask: {str(error).rstrip('.')}. KUBECONFIG names its file."
        ) from None
    except client.ApiException as error:
        raise SetupError(f"The cluster does not show the Secrets of {namespace}: {error.reason}.") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SetupError(f"The cluster does not answer: {error}.") from None
    return {
        one.metadata.name: {key: bool(value) for key, value in (one.data or {}).items()} for one in listed.items
    }
