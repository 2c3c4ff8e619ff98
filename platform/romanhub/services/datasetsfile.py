"""Reading the file of data sets, and saying on which line each mistake is."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path

import yaml
from hubquota.models.crosscheck import Mistake
from hubquota.services.yamllines import KeyPath, dotted, line_of, walk
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from romanhub.models.datasets import Citation, Dataset, Datasets

log = logging.getLogger(__name__)

#: How pydantic names the kinds of access within a path; a person reads them nowhere in the file.
_KINDS = {"public", "groups", "embargo"}


class DatasetsFileError(ValueError):
    """The file of data sets cannot be used. `str()` lists every mistake, one a line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def load_datasets(path: Path | str) -> Datasets:
    """Return what a file of data sets says.

    Args:
        path: the file.

    Raises:
        DatasetsFileError: the file cannot be read, is not YAML, or says something that is not allowed.
            Every mistake is a line of the form ``file:line: key.path: what is wrong``.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetsFileError([f"{path}: the file cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise DatasetsFileError([f"{path}: the file is not UTF-8 text"]) from error
    return parse_datasets(text, name=str(path))


def parse_datasets(text: str, *, name: str) -> Datasets:
    """Return what the text of a file of data sets says.

    Args:
        text: the file's content.
        name: what to call the file in messages.

    Raises:
        DatasetsFileError: as for `load_datasets`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise DatasetsFileError([f"{where}: the file is not YAML: {error.problem or error.context}"]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DatasetsFileError([f"{name}: the file is not YAML: {' '.join(str(error).split())}"]) from error
    if root is None:
        raise DatasetsFileError([f"{name}:1: the file is empty; allowed: the key datasets"])
    lines: dict[tuple[str, ...], int] = {}
    found = list(walk(root, (), lines, seen=set()))
    datasets: Datasets | None = None
    try:
        datasets = Datasets.model_validate(raw)
    except ValidationError as error:
        found += [_explain(details) for details in error.errors()]
    if found or datasets is None:
        placed = sorted((line_of(lines, one.path), position, one) for position, one in enumerate(found))
        raise DatasetsFileError([f"{name}:{line}: {dotted(one.path)}: {one.text}" for line, _, one in placed])
    return datasets


class DatasetsFile:
    """A file of data sets that is read again after it has changed.

    A change with mistakes is logged and passed over: what was read last stays in force until the file is right.
    """

    def __init__(self, path: Path | str) -> None:
        """Read the file. Raises DatasetsFileError as `load_datasets` does."""
        self.path = Path(path)
        self._stamp = self._read_stamp()
        self._datasets = load_datasets(self.path)

    def current(self) -> Datasets:
        """Return what the file says now, or what it said when it was last right."""
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._datasets = load_datasets(self.path)
            except DatasetsFileError as error:
                log.error("The file of data sets has mistakes; what it said before stays in force.\n%s", error)
            else:
                log.info("The file of data sets %s was read again.", self.path)
        return self._datasets

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def datasets_table(datasets: Datasets) -> str:
    """Return the data sets as a table in Markdown."""
    rows = ["| Name | Title | What it holds | Format | Who may read it |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| `{name}` | {_cell(one.title)} | {_cell(one.description)} | {one.format} | "
        f"{_cell(one.access.in_words())} |"
        for name, one in datasets.datasets.items()
    ]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _explain(details: ErrorDetails) -> Mistake:
    kind, given = details["type"], details["input"]
    path: KeyPath = tuple(part for part in details["loc"] if part != "[key]")
    if "access" in path:
        place = path.index("access")
        if len(path) > place + 1 and path[place + 1] in _KINDS:
            path = (*path[: place + 1], *path[place + 2 :])
    if kind == "extra_forbidden":
        allowed = _keys(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f", did you mean '{near[0]}'?" if near else "" if not allowed else ";"
        return Mistake(
            path, f"there is no key '{path[-1]}'{hint}" + (f" allowed: {', '.join(allowed)}" if allowed else "")
        )
    if kind == "missing":
        field = Dataset.model_fields.get(str(path[-1])) or Citation.model_fields.get(str(path[-1]))
        says = f"; it says: {(field.description or '').rstrip('.')}" if field else ""
        return Mistake(path, f"the key is missing{says}")
    if kind == "string_pattern_mismatch":
        field = Dataset.model_fields.get(str(path[-1])) or Citation.model_fields.get(str(path[-1]))
        says = f"; it says: {(field.description or '').rstrip('.')}" if field else ""
        return Mistake(path, f"'{given}' is not of the form that is allowed{says}")
    text = details["msg"]
    return Mistake(path, text[:1].lower() + text[1:])


def _keys(path: KeyPath) -> list[str]:
    if not path:
        return list(Datasets.model_fields)
    if len(path) == 2:
        return list(Dataset.model_fields)
    return list(Citation.model_fields) if path[-1] == "citation" else []
