"""Data products as data sets: what of the catalogue is read by name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, select

from romanhub.community.services.products import manifest_key
from romanhub.community.storage.tables import entry, version
from romanhub.models.community import Kind, State
from romanhub.models.datasets import Citation
from romanhub.models.products import Product, entry_of, product_name


def named(connection: Connection, names: Collection[str], *, bucket: str, region: str) -> dict[str, Product]:
    """Return the products of some names that can be read, by these names; what there is not is left out.

    Args:
        connection: in a transaction on the catalogue's database.
        names: names of data sets, such as `community.photo-z` or `community.photo-z.v2`.
        bucket: the catalogue's bucket.
        region: its region.
    """
    found = {}
    for name in names:
        if (wanted := entry_of(name)) is None:
            continue
        chosen = _readable().where(entry.c.name == wanted[0])
        number = entry.c.newest if wanted[1] is None else wanted[1]
        row = connection.execute(chosen.where(version.c.number == number)).one_or_none()
        if row is not None:
            found[name] = _product(row, bucket, region)
    return found


def newest(connection: Connection, *, bucket: str, region: str) -> dict[str, Product]:
    """Return the newest version of every product that is not deprecated, by name."""
    chosen = _readable().where(version.c.number == entry.c.newest, entry.c.state != State.DEPRECATED)
    rows = connection.execute(chosen.order_by(entry.c.name)).all()
    return {product_name(row.name): _product(row, bucket, region) for row in rows}


def withdrawn(connection: Connection, name: str) -> str | None:
    """Return why an entry was withdrawn, empty where nobody said; None where it was not."""
    found = select(entry.c.reason).where(entry.c.name == name, entry.c.state == State.WITHDRAWN)
    row = connection.execute(found).one_or_none()
    return None if row is None else row.reason or ""


def _readable() -> Any:
    columns = (
        entry.c.name, entry.c.state, entry.c.reason, version.c.number, version.c.digest, version.c.sidecar,
        version.c.details, version.c.published_at,
    )  # fmt: skip
    return (
        select(*columns)
        .join(version, version.c.entry_id == entry.c.id)
        .where(
            entry.c.kind == Kind.PRODUCT,
            entry.c.state.in_((State.PUBLIC, State.REVIEWED, State.DEPRECATED)),
            version.c.published_at.is_not(None),
        )
    )


def _product(row: Row[Any], bucket: str, region: str) -> Product:
    about, folder = row.sidecar, row.details["folder"]
    people = [author["name"] for author in about["authors"]]
    authors = ", ".join(people[:3]) + (" and others" if len(people) > 3 else "")
    return Product(
        bucket=bucket,
        prefix=folder,
        region=region,
        title=about["title"],
        description=about["abstract"],
        mission="Community",
        format=row.details["format"],
        citation=Citation(text=f"{authors}: {about['title']}, version {row.number}, {product_name(row.name)}"),
        version=row.number,
        manifest=manifest_key(folder, row.digest),
        deprecated=(row.reason or "no reason was given") if row.state == State.DEPRECATED else None,
    )
