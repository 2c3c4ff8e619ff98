"""Tables of data products in each format: what the catalogue finds in a file is what a notebook reads."""

from __future__ import annotations

import io
from hashlib import sha256

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import asdf
import numpy as np
from astropy.table import Table
from romanhub.client.product import Product
from romanhub.community.products.tables import tables_of
from romanhub.models.datasets import Citation
from romanhub.models.products import ColumnTable, Manifest, ProductFile
from romanhub.models.products import Product as Placed

TABLE = Table(
    {"ra": np.arange(3.0), "z": np.array([0.1, 0.2, 0.3], dtype="f4"), "name": ["a", "bb", "ccc"]},
    units={"ra": "deg"},
)


def as_fits() -> bytes:
    file = io.BytesIO()
    TABLE.write(file, format="fits")
    return file.getvalue()


def as_asdf(node: object) -> bytes:
    file = io.BytesIO()
    asdf.AsdfFile({"roman": {"catalogue": node}}).write_to(file)
    return file.getvalue()


def found_in(data: bytes, kind: str) -> ColumnTable:
    """What the catalogue finds, whose environment does not know astropy's own kind of a table in ASDF."""
    with asdf.config_context() as config:
        for extension in list(config.extensions):
            if extension.package_name == "asdf-astropy":
                config.remove_extension(extension)
        (found,) = tables_of(io.BytesIO(data), kind)
    assert found.pop("rows") == 3
    return ColumnTable.model_validate(found)


def product(data: bytes, kind: str) -> Product:
    """A product of one file, whose author said that `z` has no unit, and what it is."""
    about = found_in(data, kind)
    said = [
        one.model_copy(update={"unit": "", "description": "Redshift", "said": True}) if one.name == "z" else one
        for one in about.columns
    ]
    file = ProductFile(path=f"a.{kind}", size=len(data), sha256=sha256(data).hexdigest(), tables=(0,), rows=3)
    table = about.model_copy(update={"columns": tuple(said)})
    manifest = Manifest.model_validate({"format": kind, "files": (file,), "tables": (table,)})
    placed = Placed.model_construct(version=1, title="Three", citation=Citation(text="Nobody 2026"))

    class InMemory(Product):
        """Stands for the storage, which holds this one file."""

        def read(self, path: str) -> bytes:
            assert path == file.path
            return data

    return InMemory("community.three", placed, manifest, None)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(as_fits(), "fits", id="fits"),
        pytest.param(as_asdf(TABLE), "asdf", id="asdf-table"),
        pytest.param(as_asdf({name: np.asarray(TABLE[name]) for name in ("ra", "z")}), "asdf", id="asdf-arrays"),
    ],
)
def test_what_the_catalogue_finds_a_notebook_reads(data: bytes, kind: str) -> None:
    found = product(data, kind).table()
    np.testing.assert_array_equal(found["ra"], TABLE["ra"])
    np.testing.assert_array_equal(found["z"], TABLE["z"])
    assert found["z"].info.description == "Redshift"
    if "name" in found.colnames:
        assert list(found["name"]) == ["a", "bb", "ccc"]
        assert str(found["ra"].unit) == "deg"
    assert product(data, kind).table(columns="z").colnames == ["z"]
