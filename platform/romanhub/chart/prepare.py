"""What comes before an install or an upgrade: files are checked, databases reached and brought up to date."""

from __future__ import annotations

from collections.abc import Mapping

from alembic.util import CommandError
from hubquota.services.tiersfile import TiersFileError, load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import LEDGER, Migrations, migrate
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from romanhub.chart.settings import load_settings
from romanhub.community.storage.tables import MIGRATIONS as CATALOGUE
from romanhub.local.environments import SetupError
from romanhub.services.datasetsfile import DatasetsFileError, load_datasets

#: The databases: the variable with the URL of each, and what it is.
DATABASES = {"HUBQUOTA_DATABASE_URL": "ledger", "ROMANHUB_HUB_DATABASE_URL": "hub"}

#: The community's, where there is one.
COMMUNITY = {"ROMANHUB_COMMUNITY_DATABASE_URL": "community"}

#: Which databases are brought up to date here, by their names. The hub sees to its own.
MIGRATED: Mapping[str, Migrations] = {"ledger": LEDGER, "community": CATALOGUE}


def prepare(environment: Mapping[str, str]) -> list[str]:
    """Check, and bring the ledger and the community's catalogue up to date.

    It is safe to run again, and by several at once.

    Returns
    -------
    list[str]
        What was done, a sentence each.

    Raises
    ------
    SetupError
        Something is not right; one sentence for each mistake of a file, and one for a database.
    """
    settings = load_settings(environment)
    try:
        tiers = load_tiers(environment["HUBQUOTA_TIERS"])
        datasets = load_datasets(environment["ROMANHUB_DATASETS"])
    except (TiersFileError, DatasetsFileError) as error:
        raise SetupError(str(error)) from None
    except KeyError as error:
        raise SetupError(f"{error.args[0]} is not set.") from None
    databases = DATABASES | (COMMUNITY if settings.community.bucket else {})
    for variable, name in databases.items():
        _reach(name, environment.get(variable, ""))
    _told_apart({name: environment[variable] for variable, name in databases.items()})
    done = []
    for variable, name in databases.items():
        if name in MIGRATED:
            _migrate(name, environment[variable])
            done.append(f"The {name}'s database is up to date.")
    return [
        f"The settings of {settings.url} are right.",
        f"{len(tiers.tiers)} tiers and {len(datasets.datasets)} data sets, without mistakes.",
        *done,
    ]


def _told_apart(urls: Mapping[str, str]) -> None:
    """See that no two of the databases are one: each has tables, and backups, of its own."""
    found: dict[tuple[object, ...], str] = {}
    for name, url in urls.items():
        parsed = make_url(url)
        where = (parsed.host, parsed.port or 5432, parsed.database)
        if (other := found.setdefault(where, name)) != name:
            raise SetupError(
                f"The {other}'s and the {name}'s database in the Secret romanhub-databases are one, "
                f"{parsed.database}: give each an empty database of its own."
            )


def _migrate(name: str, url: str) -> None:
    engine = make_engine(url)
    try:
        migrate(engine, MIGRATED[name])
    except CommandError:
        raise SetupError(
            f"The {name}'s database was brought up to date by a newer version of the platform, which this one "
            "does not know: install that version again, or restore the backup from before it."
        ) from None
    except SQLAlchemyError as error:
        raise SetupError(f"The {name}'s database could not be brought up to date: {_reason(error)}.") from None
    finally:
        engine.dispose()


def _reach(name: str, url: str) -> None:
    if not url:
        raise SetupError(f"The Secret romanhub-databases does not say where the {name}'s database is.")
    try:
        parsed = make_url(url)
        where = f"{parsed.host or 'this machine'}:{parsed.port or 5432}/{parsed.database}"
        wait = {"connect_timeout": 10} if parsed.get_backend_name() == "postgresql" else {}
        engine = create_engine(parsed, connect_args=wait)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    except ArgumentError:
        raise SetupError(
            f"The URL of the {name}'s database in the Secret romanhub-databases is none: it has to be like "
            "postgresql+psycopg://user:password@host/name."
        ) from None
    except SQLAlchemyError as error:
        raise SetupError(f"The {name}'s database at {where} cannot be reached: {_reason(error)}.") from None


def _reason(error: SQLAlchemyError) -> str:
    """The first line of what the database said, without the statement."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return (said[0] if said else type(error).__name__).rstrip(".")
