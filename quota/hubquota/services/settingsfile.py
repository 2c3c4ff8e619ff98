"""Reading a file of settings: the purge's, or that for notices. The tiers file has a reader of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Settings = TypeVar("Settings", bound=BaseModel)


class SettingsFileError(ValueError):
    """A file of settings cannot be used; the text says why, a line for each mistake."""


def load_settings(path: Path | str, model: type[Settings]) -> Settings:
    """Return what a file of settings says.

    Args:
        path: the file.
        model: what it has to be.

    Raises:
        SettingsFileError: the file cannot be read, is not YAML, or says something that is not allowed. Every
            mistake is a line of the form ``file: key.path: what is wrong``.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return model.model_validate({} if raw is None else raw)
    except OSError as error:
        raise SettingsFileError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: the file is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg'][:1].lower()}{one['msg'][1:]}"
            for one in error.errors()
        ]
        raise SettingsFileError("\n".join(lines)) from error
