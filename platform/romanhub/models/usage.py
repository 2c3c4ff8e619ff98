"""What a client tells the platform of the bytes that it has read, and what the platform makes of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from romanhub.models.parts import Strict, Text
from romanhub.models.products import AnyName

#: The most lines that one report may have.
MOST_READS = 1000

#: A cluster's name at the gateway.
Cluster = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]


class Read(Strict):
    """What was read of one data set in one region since the last report."""

    dataset: AnyName = Field(description="The data set's name, as datasets.yaml or the community has it.")
    region: Annotated[Text, Field(max_length=64)] = Field(
        description="The region of the bucket that was read, such as us-east-1."
    )
    bytes: Annotated[int, Field(ge=0, le=2**53, strict=True)] = Field(
        description="How many bytes of objects were received."
    )
    requests: Annotated[int, Field(ge=0, le=2**31, strict=True)] = Field(
        default=0, description="How many requests that took."
    )


class UsageReport(Strict):
    """What one process has read since its last report. Sent again, it counts once."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{16,64}$")] = Field(
        description="Made at random by the sender for each report; a report that is sent again has the same one."
    )
    cluster: Cluster | None = Field(
        default=None, description="The Dask cluster that the process works for; none for a notebook."
    )
    reads: tuple[Read, ...] = Field(
        min_length=1, max_length=MOST_READS, description="One entry for each data set and region."
    )


class UsageReceipt(Strict):
    """What the platform answers to a report."""

    counted: bool = Field(description="Whether the report was counted now; false where it had been before.")
