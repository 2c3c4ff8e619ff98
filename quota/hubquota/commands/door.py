"""The group that all commands belong to: it says what went wrong, to people or to scripts.

A script that gives `--json` finds an object `{"error": {"code": …, "message": …}}` on the standard error
stream. The exit code is 2 where the command was called wrongly, and 1 where it was refused or failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import IO, Any

import click
from sqlalchemy.exc import SQLAlchemyError

from hubquota.models.ledger import (
    ConflictingAccountError,
    ConflictingKeyError,
    ImpossibleError,
    Refused,
    UnknownAccountError,
    UnknownAllocationError,
    UnknownLeaseError,
    UnknownOverrideError,
    UnknownRequestError,
)
from hubquota.models.purge import PurgeError
from hubquota.models.renewals import StalePreviewError, UnknownPreviewError
from hubquota.models.requests import ConflictingRequestError, NotAllowedError
from hubquota.services.settingsfile import SettingsFileError
from hubquota.services.tiersfile import TiersFileError

#: What a person can do something about, and that says so itself; the first that fits gives the code.
CODES: list[tuple[type[Exception], str]] = [
    (UnknownAccountError, "unknown"),
    (UnknownAllocationError, "unknown"),
    (UnknownLeaseError, "unknown"),
    (UnknownRequestError, "unknown"),
    (UnknownOverrideError, "unknown"),
    (UnknownPreviewError, "unknown"),
    (ConflictingAccountError, "conflict"),
    (ConflictingKeyError, "conflict"),
    (ConflictingRequestError, "conflict"),
    (StalePreviewError, "conflict"),
    (NotAllowedError, "forbidden"),
    (Refused, "refused"),
    (ImpossibleError, "impossible"),
    (PurgeError, "purge"),
    (OSError, "system"),
    (ValueError, "invalid"),
]


class Failed(click.ClickException):
    """Something that a command could not do, with a code for scripts."""

    def __init__(self, message: str, code: str = "failed") -> None:
        super().__init__(message)
        self.code = code


class Door(click.Group):
    """Turns what goes wrong into sentences, or with `--json` into an object on the standard error stream."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the group's own part of the command line."""
        given = tuple(args)
        with _told(as_json="--json" in given):
            context = super().make_context(info_name, args, parent, **extra)
        wanted: MutableMapping[str, Any] = context.meta
        wanted[_WANTED] = "--json" in given
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _told(as_json=ctx.meta[_WANTED]):
            return super().invoke(ctx)


_WANTED = "hubquota.json"


class _ForScripts(click.ClickException):
    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self._code = "usage" if isinstance(error, click.UsageError) else getattr(error, "code", "failed")

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error as JSON."""
        told = {"error": {"code": self._code, "message": self.message}}
        click.echo(json.dumps(told, ensure_ascii=False), file=file, err=file is None)


class _UsageForScripts(_ForScripts):
    exit_code = click.UsageError.exit_code


@contextmanager
def _told(*, as_json: bool) -> Iterator[None]:
    try:
        with _sentences():
            yield
    except click.ClickException as error:
        if not as_json:
            raise
        kind = _UsageForScripts if isinstance(error, click.UsageError) else _ForScripts
        raise kind(error) from error


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error)
        raise Failed(
            f"The ledger's database cannot be used: {reason}\n"
            "Check its address, and that `hubquota migrate` has been run.",
            "database",
        ) from error
    except TiersFileError as error:
        raise Failed(f"The tiers file has mistakes.\n{error}", "tiers") from error
    except SettingsFileError as error:
        raise Failed(f"A file of settings has mistakes.\n{error}", "settings") from error
    except BrokenPipeError:
        # Whoever read the answer has enough of it.
        raise
    except Exception as error:
        for kind, code in CODES:
            if isinstance(error, kind):
                raise Failed(str(error), code) from error
        raise
