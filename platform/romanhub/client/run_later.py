"""Running a notebook of one's own when one is not there: `romanhub.run_later("survey.ipynb", after="tonight")`."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from romanhub.client.connection import Portal
from romanhub.client.errors import RunRefusedError
from romanhub.client.runs import PATH, LaterRun
from romanhub.models.runs import OwnRun

#: When it is night, in UTC.
NIGHT = time(22)


def run_later(
    notebook: str | Path,
    after: datetime | timedelta | str | None = None,
    *,
    account: str | None = None,
    size: str | None = None,
) -> LaterRun:
    """Have a notebook of yours run when you are not there, in a server of its own and on your account.

    It is read when it starts, so save it before. Its result is a new file beside it; a notice says how it went.

    :param notebook: the notebook's file.
    :param after: when it may start: a time (without a zone, UTC), how long from now, or "tonight", which is 22:00
        UTC; as soon as there is room if not given.
    :param account: who pays; you if not given.
    :param size: the size of the server, such as "medium"; your tier's default if not given.
    :raises FileNotFoundError: there is no such notebook.
    :raises ValueError: it is not in your home, or the time cannot be understood.
    :raises RunRefusedError: too many of yours are in the queue.
    """
    portal = Portal.from_environment()
    at = moment_of(after, datetime.now(UTC))
    asked = {
        "notebook": path_in_home(notebook, Path.home()),
        "after": None if at is None else at.isoformat(),
        "account": account,
        "size": size,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return LaterRun(portal, portal.post(PATH, given, OwnRun, refused=RunRefusedError))


def path_in_home(notebook: str | Path, home: Path) -> str:
    """Return a notebook's path in the home.

    :raises FileNotFoundError: there is none.
    :raises ValueError: it is not in the home.
    """
    file = Path(notebook).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f"There is no notebook {notebook}.")
    if not file.is_relative_to(home.resolve()) or file.suffix != ".ipynb":
        raise ValueError(f"{notebook} is not a notebook (.ipynb) in your home, where its server could find it.")
    return file.relative_to(home.resolve()).as_posix()


def moment_of(after: datetime | timedelta | str | None, now: datetime) -> datetime | None:
    """Return the time that is meant, in UTC; None for as soon as possible.

    :raises ValueError: it cannot be understood.
    """
    if after is None:
        return None
    if isinstance(after, timedelta):
        return now + after
    if isinstance(after, str):
        if after == "tonight":
            night = datetime.combine(now.date(), NIGHT, UTC)
            return night if night > now else night + timedelta(days=1)
        try:
            after = datetime.fromisoformat(after)
        except ValueError:
            raise ValueError(
                f"'{after}' is no time. Write it as 2027-03-31 22:00, or give a datetime, timedelta or 'tonight'."
            ) from None
    return after.replace(tzinfo=UTC) if after.tzinfo is None else after.astimezone(UTC)
