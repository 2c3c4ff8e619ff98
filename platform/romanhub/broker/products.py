"""The community's data products, which keys open by name: read from the catalogue's database."""

from __future__ import annotations

from collections.abc import Collection

from hubquota.storage.engine import reading
from sqlalchemy import Engine

from romanhub.community.storage import products
from romanhub.models.products import Product, entry_of


class Products:
    """What is public of the community's data products. Everything here waits, and raises SQLAlchemyError."""

    def __init__(self, engine: Engine, *, bucket: str, region: str) -> None:
        """Read a catalogue.

        Args:
            engine: its database.
            bucket: its bucket.
            region: the bucket's region.
        """
        self._engine, self._bucket, self._region = engine, bucket, region

    def named(self, names: Collection[str]) -> dict[str, Product]:
        """Return the products of some names; what cannot be read is left out."""
        with reading(self._engine) as connection:
            return products.named(connection, names, bucket=self._bucket, region=self._region)

    def newest(self) -> dict[str, Product]:
        """Return the newest version of every product, by name, without those that are deprecated."""
        with reading(self._engine) as connection:
            return products.newest(connection, bucket=self._bucket, region=self._region)

    def why_not(self, name: str) -> str:
        """Return a sentence that says why a product cannot be read."""
        wanted = entry_of(name)
        reason = None
        if wanted is not None:
            with reading(self._engine) as connection:
                reason = products.withdrawn(connection, wanted[0])
        if reason is None:
            return f"There is no data product {name} in the community's catalogue."
        return (
            f"The data product {name} was withdrawn, and its files are "
            f"gone{f': {reason}' if reason else ''}".rstrip(".")
            + "."
        )
