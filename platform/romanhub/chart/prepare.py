"""What comes before an install or an upgrade: files are checked, databases reached, and the ledger's migrated."""

from __future__ import annotations

from collections.abc import Mapping

from hubquota.services.tiersfile import TiersFileError, load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from romanhub.chart.settings import load_settings
from romanhub.local.environments import SetupError
from romanhub.services.datasetsfile import DatasetsFileError, load_datasets

#: The databases: the variable with the URL of each, and what it is.
DATABASES = {"HUBQUOTA_DATABASE_URL": "ledger", "ROMANHUB_HUB_DATABASE_URL": "hub"}


def prepare(environment: Mapping[str, str]) -> list[str]:
    """Check, and migrate the ledger. Safe to run again, and by several at once.

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
    for variable, name in DATABASES.items():
        _reach(name, environment.get(variable, ""))
    try:
        migrate(make_engine(environment["HUBQUOTA_DATABASE_URL"]))
    except SQLAlchemyError as error:
        raise SetupError(f"The ledger's database could not be brought up to date: {_reason(error)}.") from None
    return [
        f"The settings of {settings.url} are right.",
        f"{len(tiers.tiers)} tiers and {len(datasets.datasets)} data sets, without mistakes.",
        "The ledger's database is up to date.",
    ]


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
