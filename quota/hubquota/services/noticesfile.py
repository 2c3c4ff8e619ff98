"""Reading the settings for notices."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from hubquota.models.delivery import DeliverySettings


class NoticesFileError(ValueError):
    """The settings for notices cannot be used; the text says why, a line for each mistake."""


def load_delivery_settings(path: Path | str) -> DeliverySettings:
    """Return what a file of settings for notices says.

    Raises:
        NoticesFileError: the file cannot be read, is not YAML, or says something that is not allowed.
    """
    file = Path(path)
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NoticesFileError(f"{file}: the file cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise NoticesFileError(f"{file}: the file is not YAML: {' '.join(str(error).split())}") from error
    try:
        return DeliverySettings.model_validate({} if raw is None else raw)
    except ValidationError as error:
        raise NoticesFileError(
            "\n".join(
                f"{file}: {'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()
            )
        ) from error
