"""Reading the purge's settings file."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from hubquota.models.purge import PurgeError
from hubquota.models.purge_settings import PurgeSettings


def load_purge_settings(path: Path | str) -> PurgeSettings:
    """Return what a settings file of the purge says.

    Raises:
        PurgeError: the file cannot be read, is not YAML, or says something that is not allowed. Every mistake
            is a line of the form ``file: key.path: what is wrong``.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return PurgeSettings.model_validate(raw)
    except OSError as error:
        raise PurgeError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PurgeError(f"{path}: the file is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, one['loc'])) or '(top)'}: {one['msg'][:1].lower()}{one['msg'][1:]}"
            for one in error.errors()
        ]
        raise PurgeError("\n".join(lines)) from error
