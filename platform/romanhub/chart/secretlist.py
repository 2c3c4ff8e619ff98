"""The file of secrets: which there are, where each comes from, and a comparison of a cluster with it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
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


#: On what of the chart's values a Secret, or one value of it, may depend.
Condition = Literal[
    "signIn is institution",
    "there is a community",
    "there is a community and the portal has no cloud role",
    "the broker has no cloud role",
    "an ingress names it",
]


class Key(Values):
    """One value of a Secret."""

    from_: Literal["generated", "given", "copied"] = Field(alias="from", description="Where it comes from.")
    kind: Literal["hex", "fernet", "password"] | None = Field(
        default=None, description="How a generated value looks."
    )
    about: str = Field(min_length=5, description="What it is for, in one sentence.")
    when: Condition | None = Field(default=None, description="When it is needed; with its Secret if not given.")


class Secret(Values):
    """One Secret of the namespace."""

    about: str = Field(min_length=5, description="What it is for, in one sentence.")
    when: Condition | None = Field(default=None, description="When it is needed; always if not given.")
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

#: Whether a condition holds; None where nobody knows the chart's values.
Holding = Callable[[Condition], bool | None]


def unknown(_condition: Condition) -> None:
    """Say of no condition whether it holds."""


def holding(values: Mapping[str, Any]) -> Holding:
    """What holds with somebody's values of the chart. A pod may have its cloud role without them: by its node."""

    def at(*path: str) -> Any:
        found: Any = values
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    community = bool(at("global", "romanhub", "community", "bucket"))
    served = at("jupyterhub", "ingress", "tls") or []
    holds: dict[Condition, bool | None] = {
        "signIn is institution": (at("global", "romanhub", "signIn") or "institution") == "institution",
        "there is a community": community,
        "there is a community and the portal has no cloud role": (
            None if community and not at("portal", "serviceAccount", "annotations") else False
        ),
        "the broker has no cloud role": None if not at("broker", "serviceAccount", "annotations") else False,
        "an ingress names it": any(one.get("secretName") == "romanhub-tls" for one in served),
    }
    return holds.__getitem__


def audit(declared: Mapping[str, Secret], found: Found, holds: Holding = unknown) -> Iterator[tuple[bool, str]]:
    """What is not as the file says: whether it keeps the platform from running, and a sentence.

    Parameters
    ----------
    declared
        What the file says.
    found
        What the cluster has.
    holds
        Which of the conditions hold. Of one that nobody knows it is said that the Secret is needed then.
    """
    for name, secret in declared.items():
        here = found.get(name)
        needed = True if secret.when is None else holds(secret.when)
        if here is None and not needed:
            if needed is None:
                yield False, f"{name} is not there. It is needed when {secret.when}."
            continue
        for key, said in secret.keys.items():
            if here is not None and here.get(key):
                continue
            wanted = True if said.when is None else holds(said.when)
            if wanted:
                state = "empty" if here is not None and key in here else "missing"
                yield True, f"{name}: {key} is {state}: {_remedy(key, said)}"
            elif wanted is None:
                yield False, f"{name}: {key} is not there. It is needed when {said.when}."
        for key in sorted(set(here or ()) - set(secret.keys)):
            yield False, f"{name}: {key} is in no list; if nothing of yours reads it, remove it."
    for name in sorted(one for one in set(found) - set(declared) if one.startswith("romanhub-")):
        yield False, f"{name} is in no list; if nothing of yours reads it, remove it."


def _remedy(key: str, said: Key) -> str:
    if said.from_ == "generated":
        return "`romanhub secrets generate` makes it."
    if said.from_ == "copied":
        return f"`romanhub secrets copy` brings it from where it is kept ({said.about})"
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
