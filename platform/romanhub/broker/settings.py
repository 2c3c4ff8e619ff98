"""What the broker needs to know, read from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from romanhub.models.parts import Bucket
from romanhub.portal.settings import HubSettings, SettingsError


class StorageSettings(BaseModel):
    """Where the storage is, and as whom the broker asks it for short-lived keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="The storage's address; Amazon's if not given."
    )
    region: str = Field(default="us-east-1", min_length=1, description="The region to sign requests for.")
    role: str = Field(pattern=r"^arn:[^:]+:iam::\d*:role/.+$", description="The role that the broker assumes.")
    access_key: SecretStr | None = Field(
        default=None, description="The broker's own key; without it what boto3 finds, such as a pod's role."
    )
    secret_key: SecretStr | None = Field(default=None, description="Its secret.")
    scratch_bucket: Bucket = Field(description="The bucket that holds people's scratch.")
    # AWS takes no less than 900 seconds, and no more than 3,600 from a broker that has a role itself.
    seconds: int = Field(
        default=3600, ge=900, le=3600, description="How long keys work, in seconds, at most an hour."
    )


class CommunityPlace(BaseModel):
    """Where the community's data products are: the catalogue's database, which is only read, and its bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: SecretStr = Field(min_length=1, description="The catalogue's database.")
    bucket: Bucket = Field(default="roman-community", description="The bucket that keeps its files.")
    region: str = Field(default="us-east-1", min_length=1, description="The region of that bucket.")


class BrokerSettings(BaseModel):
    """Everything that one broker process is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: HubSettings
    storage: StorageSettings
    database_url: SecretStr = Field(min_length=1, description="The ledger's database.")
    tiers_file: str = Field(min_length=1, description="The file of tiers.")
    datasets_file: str = Field(min_length=1, description="The file of data sets.")
    community: CommunityPlace | None = Field(
        default=None, description="The community's catalogue; without it, there are no data products."
    )
    purge_file: str | None = Field(
        default=None, description="The purge's settings file; without it, scratch that has ended is never deleted."
    )
    keeper_seconds: float = Field(
        default=600, gt=0, le=86_400, description="How often scratch is measured and cleared, in seconds."
    )
    ledger_deadline_seconds: float = Field(
        default=10, gt=0, le=60, description="How long an answer waits for the ledger, in seconds."
    )
    storage_deadline_seconds: float = Field(
        default=20, gt=0, le=60, description="How long an answer waits for the storage's keys, in seconds."
    )
    mints_a_minute: int = Field(
        default=12, ge=1, le=600, description="How many new keys one person is given within a minute."
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> BrokerSettings:
        """Settings from `environ`; raises SettingsError naming every variable that is missing or wrong.

        A variable that is set to the empty string counts as not set.
        """
        values: dict[str, Any] = {
            "hub": {"service_name": "broker", "prefix": "/services/broker/", "client_id": "service-broker"},
            "storage": {},
        }
        for place, variable in _PLACES.items():
            if environ.get(variable):
                within = values
                for key in place[:-1]:
                    within = within.setdefault(key, {})
                within[place[-1]] = environ[variable]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


#: Which environment variable fills which field.
_PLACES: dict[tuple[str, ...], str] = {
    ("hub", "api_token"): "JUPYTERHUB_API_TOKEN",
    ("hub", "api_url"): "JUPYTERHUB_API_URL",
    ("hub", "base_url"): "JUPYTERHUB_BASE_URL",
    ("hub", "service_name"): "JUPYTERHUB_SERVICE_NAME",
    ("hub", "prefix"): "JUPYTERHUB_SERVICE_PREFIX",
    ("hub", "identity_seconds"): "ROMANHUB_BROKER_IDENTITY_SECONDS",
    ("storage", "endpoint"): "ROMANHUB_STORAGE_ENDPOINT",
    ("storage", "region"): "ROMANHUB_STORAGE_REGION",
    ("storage", "scratch_bucket"): "ROMANHUB_SCRATCH_BUCKET",
    ("storage", "role"): "ROMANHUB_BROKER_ROLE",
    ("storage", "access_key"): "ROMANHUB_BROKER_ACCESS_KEY",
    ("storage", "secret_key"): "ROMANHUB_BROKER_SECRET_KEY",
    ("storage", "seconds"): "ROMANHUB_BROKER_SECONDS",
    **{("community", name): f"ROMANHUB_COMMUNITY_{name.upper()}" for name in CommunityPlace.model_fields},
    ("database_url",): "HUBQUOTA_DATABASE_URL",
    ("tiers_file",): "HUBQUOTA_TIERS",
    ("purge_file",): "HUBQUOTA_PURGE",
    ("keeper_seconds",): "ROMANHUB_BROKER_KEEPER_SECONDS",
    ("datasets_file",): "ROMANHUB_DATASETS",
}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        place = tuple(str(part) for part in problem["loc"])
        variable = next((_PLACES[place[:n]] for n in range(len(place), 0, -1) if place[:n] in _PLACES), None)
        said = "is not set" if problem["type"] == "missing" else problem["msg"]
        lines.append(f"{variable or '.'.join(place)}: {said}")
    return "The broker cannot start with this environment:\n  " + "\n  ".join(lines)
