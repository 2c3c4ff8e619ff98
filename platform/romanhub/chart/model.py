"""What the chart's models are made of: kinds of values, and a model that turns down what it does not know.

Keys are in camelCase, as in every chart.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: An amount of cores or bytes as Kubernetes writes it, such as 500m or 2Gi; a plain number of cores is one, too.
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")] | Annotated[float, Field(gt=0)]

#: A name of a Kubernetes object.
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]

#: A range of addresses, such as 10.0.0.0/8.
Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/\d{1,3}$")]

#: The address of a web service.
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]


class Values(BaseModel):
    """A part of the chart's values. A key that it does not know is a mistake."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, str_strip_whitespace=True
    )
