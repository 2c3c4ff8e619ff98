"""Reading the tiers file, and saying on which line each mistake is."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hubquota.models.crosscheck import Mistake, cross_check
from hubquota.models.groups import ClaimRule, FirstTier, GroupProject, Projects
from hubquota.models.rates import Rates, with_prices
from hubquota.models.tiers import (
    CROSS_CHECK,
    CleanUp,
    Dask,
    RenewsItself,
    Size,
    Storage,
    Tier,
    Tiers,
    Warnings,
    WhenDown,
    next_change,
)
from hubquota.services.yamllines import KeyPath, dotted, line_of, walk

log = logging.getLogger(__name__)

#: Which model reads the mapping at a path; "*" stands for a name that the operator chose.
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Tiers,
    ("rates", "*"): Rates,
    ("sizes", "*"): Size,
    ("tiers", "*"): Tier,
    ("tiers", "*", "dask"): Dask,
    ("tiers", "*", "renews_itself"): RenewsItself,
    ("tiers", "*", "storage"): Storage,
    ("first_tier",): FirstTier,
    ("clean_up",): CleanUp,
    ("projects",): Projects,
    ("projects", "groups", "*"): GroupProject,
    ("first_tier", "claims", "*"): ClaimRule,
    ("warnings",): Warnings,
    ("when_down",): WhenDown,
    ("tiers", "*", "when_down"): WhenDown,
}


class TiersFileError(ValueError):
    """The tiers file cannot be used. `str()` lists every mistake, one a line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def today() -> date:
    """Return the day that it is now, in UTC."""
    return datetime.now(UTC).date()


def load_tiers(path: Path | str, on: date | None = None) -> Tiers:
    """Return what a tiers file says.

    Args:
        path: the file.
        on: the day whose prices count; today if not given.

    Raises:
        TiersFileError: the file cannot be read, is not YAML, or says something that is not allowed.
            Every mistake is a line of the form ``file:line: key.path: what is wrong; what is allowed``.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise TiersFileError([f"{file}: the file cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise TiersFileError([f"{file}: the file is not UTF-8 text"]) from error
    return parse_tiers(text, name=str(file), on=on)


def parse_tiers(text: str, *, name: str, on: date | None = None) -> Tiers:
    """Return what the text of a tiers file says.

    Args:
        text: the file's content.
        name: what to call the file in messages.
        on: the day whose prices count; today if not given.

    Raises:
        TiersFileError: as for `load_tiers`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise TiersFileError([f"{where}: the file is not YAML: {error.problem or error.context}"]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TiersFileError([f"{name}: the file is not YAML: {reason}"]) from error
    if root is None:
        raise TiersFileError([f"{name}:1: the file is empty; allowed: the keys {', '.join(Tiers.model_fields)}"])

    lines: dict[tuple[str, ...], int] = {}
    found = list(walk(root, (), lines, seen=set()))
    tiers: Tiers | None = None
    try:
        tiers = Tiers.model_validate(with_prices(raw, on or today()))
    except ValidationError as error:
        found += [_explain(details, raw) for details in error.errors() if details["type"] != CROSS_CHECK]
    found += cross_check(raw)
    if found or tiers is None:
        placed = sorted(
            (line_of(lines, mistake.path), position, mistake) for position, mistake in enumerate(found)
        )
        raise TiersFileError(
            [f"{name}:{line}: {dotted(mistake.path)}: {mistake.text}" for line, _, mistake in placed]
        )
    return tiers


class TiersFile:
    """A tiers file that is read again after it has changed.

    A change with mistakes is logged and passed over: what was read last stays in force until the file
    is right. Every process that reads tiers (the hub, the gateway, the portal, the watch) uses one of
    these, so an edit needs no restart.
    """

    def __init__(self, path: Path | str, day: Callable[[], date] = today) -> None:
        """Read the file.

        Args:
            path: the file.
            day: returns the day whose prices count. New rates count from their first day on.

        Raises:
            TiersFileError: as for `load_tiers`.
        """
        self.path = Path(path)
        self._day = day
        self._stamp = self._read_stamp()
        self._read()

    def current(self) -> Tiers:
        """Return what the file says now, or what it said when it was last right."""
        stamp = self._read_stamp()
        if stamp != self._stamp or (self._until is not None and self._day() >= self._until):
            self._stamp = stamp
            try:
                self._read()
            except TiersFileError as error:
                log.error("The tiers file has mistakes; what it said before stays in force.\n%s", error)
            else:
                log.info("The tiers file %s was read again.", self.path)
        return self._tiers

    def _read(self) -> None:
        # Also where the file has mistakes it is not read again before it changes.
        self._until: date | None = None
        on = self._day()
        self._tiers = load_tiers(self.path, on)
        self._until = next_change(self._tiers, on)

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


@cache
def tiers_file(path: str) -> TiersFile:
    """Return this process's reader of a tiers file; all that use the file share it.

    Raises:
        TiersFileError: as for `load_tiers`; then the next call tries again.
    """
    return TiersFile(path)


def _explain(details: ErrorDetails, raw: object) -> Mistake:
    kind, given, limits = details["type"], details["input"], details.get("ctx", {})
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    if kind == "extra_forbidden":
        return Mistake(path, _unknown_key(path))
    if kind == "missing":
        return Mistake(path, f"the key is missing; it says: {_described(path)}")
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        keys = _keys(path)
        wanted = f"the keys {', '.join(keys)}" if keys else "keys and values, one a line"
        return Mistake(path, f"a mapping is expected, not {_shown(given)}; allowed: {wanted}")
    if kind in {"tuple_type", "list_type"}:
        return Mistake(path, f"a list is expected, not {_shown(given)}; it says: {_described(path)}")
    if kind == "string_type":
        return Mistake(path, f"text is expected, not {_shown(given)}; quote it if it looks like a number")
    if kind == "too_short":
        return Mistake(path, "it is empty; allowed: one or more")
    if kind == "string_too_short":
        return Mistake(path, f"it is empty; it says: {_described(path)}")
    if kind in {"int_type", "int_parsing", "int_from_float"}:
        return Mistake(path, f"a whole number is expected, not {_shown(given)}")
    if kind in {"decimal_parsing", "decimal_type", "finite_number", "number"}:
        return Mistake(path, f"a number is expected, not {_shown(given)}; allowed: such as 0.15")
    if kind == "greater_than_equal":
        return Mistake(path, f"{_shown(given)} is too small; allowed: {limits['ge']} or more")
    if kind == "less_than_equal":
        return Mistake(path, f"{_shown(given)} is too large; allowed: {limits['le']} or less")
    if kind == "greater_than":
        return Mistake(path, f"{_shown(given)} is too small; allowed: more than {limits['gt']}")
    if kind == "less_than":
        return Mistake(path, f"{_shown(given)} is too large; allowed: less than {limits['lt']}")
    if kind == "name":
        word = path[-1] if details["loc"][-1] == "[key]" else given
        return Mistake(
            path, f"'{word}' is not a name; allowed: {details['msg'].removeprefix('a name has to be ')}"
        )
    text = details["msg"]
    return Mistake(path, text[:1].lower() + text[1:])


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    for pattern, model in _MODELS.items():
        if len(pattern) == len(path) and all(p in ("*", part) for p, part in zip(pattern, path, strict=True)):
            return model
    return None


def _keys(path: KeyPath) -> list[str]:
    model = _model_at(path)
    return list(model.model_fields) if model else []


def _unknown_key(path: KeyPath) -> str:
    allowed = _keys(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
    hint = f", did you mean '{near[0]}'?" if near else ";"
    return f"there is no key '{path[-1]}'{hint} allowed: {', '.join(allowed)}"


def _described(path: KeyPath) -> str:
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model else None
    return ((field.description or "") if field else "").rstrip(".")


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 40 else f"'{value[:40]}…'"
    return str(value)
