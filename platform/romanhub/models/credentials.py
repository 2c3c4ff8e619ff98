"""What the broker gives to a notebook or a worker: short-lived keys, and what they open."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from romanhub.models.datasets import Dataset, Place
from romanhub.models.products import Product


class ScratchPlace(Place):
    """A scratch space that the keys open."""

    writable: bool = Field(
        description="Whether objects may be written there; one that is over its size can be read and cleared."
    )
    ends: AwareDatetime = Field(description="When it ends.")
    gib: int = Field(description="Its size in GiB.")


class Credentials(BaseModel):
    """Short-lived keys for the storage, and what they open. It never shows what it holds."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    access_key: SecretStr = Field(description="The key's name.")
    secret_key: SecretStr = Field(description="The key.")
    session_token: SecretStr = Field(description="The token that goes with the key.")
    expiration: AwareDatetime = Field(description="When the keys stop working.")
    endpoint: str | None = Field(default=None, repr=False, description="The storage's URL; none for AWS.")
    region: str = Field(description="The region to sign requests for where a bucket says nothing else.")
    datasets: dict[str, Dataset] = Field(description="The data sets that the keys open, by name.")
    scratch: dict[str, ScratchPlace] = Field(description="The scratch spaces that the keys open, by name.")
    products: dict[str, Product] = Field(
        default={},
        description="The community's data products that the keys open, by the names that were asked for.",
    )
