"""What the catalogue of the community needs to know."""

from __future__ import annotations

from hubquota.storage.engine import make_engine
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from sqlalchemy import Engine

from romanhub.community.limits import Limits
from romanhub.models.parts import Bucket


class CommunitySettings(BaseModel):
    """Where the catalogue is kept, and who its curators are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: SecretStr = Field(min_length=1, description="The catalogue's database, one of its own.")
    bucket: Bucket = Field(default="roman-community", description="The bucket that keeps files.")
    endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="The storage's address; Amazon's if not given."
    )
    region: str = Field(default="us-east-1", min_length=1, description="The region to sign requests for.")
    access_key: SecretStr | None = Field(
        default=None,
        description="The key that writes the bucket; without it what boto3 finds, such as a pod's role.",
    )
    secret_key: SecretStr | None = Field(default=None, description="Its secret.")
    curators: str = Field(
        default="community-curators",
        min_length=1,
        description="The hub group whose members are curators; administrators are, too.",
    )
    product_bytes: int = Field(
        default=Limits.product_bytes,
        ge=1,
        description="How large one version of a data product may be, in bytes. The portal needs as much room in "
        "its temporary folder while it copies one.",
    )
    product_files: int = Field(
        default=Limits.product_files,
        ge=1,
        le=10_000,
        description="How many files one version of a data product may have.",
    )
    person_bytes: int = Field(
        default=Limits.person_bytes,
        ge=1,
        description="How much one person's entries may keep in the bucket, all versions together, in bytes.",
    )

    git_origins: frozenset[str] = Field(
        default=frozenset(),
        description="Origins whose Git repositories people may register though they are not public or not at "
        "HTTPS's own port, such as https://git.example.org:8443; with commas between them.",
    )
    git_seconds: int = Field(
        default=3600,
        ge=10,
        description="How long after one look at a registered repository the next one follows, in seconds.",
    )

    @field_validator("git_origins", mode="before")
    @classmethod
    def _list_of_origins(cls, given: object) -> object:
        if isinstance(given, str):
            return frozenset(one.strip().rstrip("/") for one in given.split(",") if one.strip())
        return given

    @property
    def limits(self) -> Limits:
        """How much people may keep."""
        return Limits(self.product_bytes, self.product_files, self.person_bytes)

    def engine(self) -> Engine:
        """Return an engine on the database. Nothing is connected yet."""
        return make_engine(self.database_url.get_secret_value())
