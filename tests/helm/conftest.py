"""The chart, rendered by Helm itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helm.charts import CHARTS, COMMUNITY, VALUES, Rendered, assembled, render, with_values


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our chart with stand-ins for those that it is made of, which show what reaches them."""
    return assembled(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def rendered(chart: Path) -> Rendered:
    """What the least values make."""
    return render(chart, VALUES)


@pytest.fixture(scope="session")
def with_community(chart: Path) -> Rendered:
    """The same with the community."""
    return render(chart, with_values(COMMUNITY))


@pytest.fixture(scope="session")
def real_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our chart with the real ones that it is made of."""
    given = os.environ.get(CHARTS)
    if not given:
        pytest.skip(f"{CHARTS} names no folder with the charts jupyterhub and dask-gateway")
    return assembled(tmp_path_factory.mktemp("real"), Path(given))
