"""What the platform's models are made of: kinds of values, and a model that turns down what it does not know."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: A name that people type: of a data set, or of a scratch space.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]

Text = Annotated[str, Field(min_length=1)]

#: A bucket's name, by the rules of S3.
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]

#: The beginning of keys in a bucket. It ends in a slash, so that `roman/` does not also open `romano/`, and
#: holds none of the characters that mean something in a policy.
Prefix = Annotated[str, Field(pattern=r"^([A-Za-z0-9!_.()'=+@:-]+/)+$", max_length=512)]


class Strict(BaseModel):
    """A part of a file of settings or of a request. A key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
