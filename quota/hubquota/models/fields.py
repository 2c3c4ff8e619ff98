"""What files of settings are made of: models that turn down what they do not know, and kinds of values."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from hubquota.models.money import MOST_CREDITS, InexactAmountError, rate_of, to_units

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "name",
            "a name has to be lower-case letters, digits and hyphens, and start with a letter",
        )
    return value


def _number(value: object) -> object:
    # YAML's true and yes are whole numbers to Python; in a price they are a mistake.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "a number is expected")
    return value


def _price(value: Decimal) -> Decimal:
    try:
        rate_of(value)
    except InexactAmountError as error:
        raise PydanticCustomError("inexact", "{text}", {"text": str(error).rstrip(".")}) from error
    return value


def _credits(value: Decimal) -> Decimal:
    try:
        to_units(value)
    except InexactAmountError as error:
        raise PydanticCustomError("inexact", "{text}", {"text": str(error).rstrip(".")}) from error
    return value


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1)]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000), BeforeValidator(_number), AfterValidator(_price)]
Credits = Annotated[Decimal, Field(ge=0, le=MOST_CREDITS), BeforeValidator(_number), AfterValidator(_credits)]
Count = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Fraction = Annotated[Decimal, Field(gt=0, lt=1), BeforeValidator(_number)]
Positive = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Strict(BaseModel):
    """A part of a file of settings. A key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
