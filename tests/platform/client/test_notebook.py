"""The welcome notebook, run from top to bottom in a real kernel with a real S3 server and a real Dask gateway.

The portal is a stand-in: the way through the hub is tested with the whole platform.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[3] / "platform" / "romanhub" / "client" / "notebooks" / "welcome.ipynb"


def text_of(cell: NotebookNode) -> str:
    """What a cell printed and what it showed as text."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.get("outputs", [])
    )


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def executed(notebook, portal, gateway, stored, tmp_path) -> NotebookNode:
    """The notebook after a run."""
    portal.show_archive(stored.access)
    portal.show_account(dask_workers=2)
    # As the gateway tells them: where keys come from, and a token for them.
    told = {
        "ROMANHUB_BROKER_URL": os.environ["ROMANHUB_BROKER_URL"],
        "ROMANHUB_BROKER_TOKEN": os.environ["JUPYTERHUB_API_TOKEN"],
    }
    gateway.refusal.with_name("workers").write_text(json.dumps(told))
    run = nbformat.from_dict(notebook)
    NotebookClient(
        run, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    nbformat.write(run, tmp_path / "executed.ipynb")
    return run


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell with that id."""
    return next(each for each in notebook.cells if each.id == name)


def test_it_runs_from_top_to_bottom_and_shows_what_it_promises(executed, stored, portal) -> None:
    shown = {each.id: text_of(each) for each in executed.cells if each.cell_type == "code"}
    assert "4 exposures" in shown["search"]
    assert "Filter F158 on detector WFI01" in shown["open"]
    assert re.search(r"A galaxy of magnitude \d\d\.\d at 1[78]h", shown["galaxy"])
    assert "2 workers cost 0.08 credits an hour" in shown["cluster"]
    assert "12.50 credits available" in shown["balance"]
    assert "2 x Dask worker: 0.08 credits an hour" in shown["balance"]
    for figure in ("show", "galaxy", "depth", "faint"):
        assert any("image/png" in output.get("data", {}) for output in cell(executed, figure).outputs), figure
    for each in executed.cells:
        assert not any(output.get("name") == "stderr" for output in each.get("outputs", [])), each

    # The measured gain: not more than four equal exposures can give, and not much less.
    sources, gain = re.search(r"(\d+) sources.* signal to noise is ([\d.]+) times", shown["gain"]).groups()
    assert int(sources) >= 10
    assert 1.8 < float(gain) < 2.15

    everything = nbformat.writes(executed)
    for secret in (*stored.secrets, portal.token):
        assert secret not in everything


def test_it_is_kept_without_results(notebook) -> None:
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "roman"
    for each in notebook.cells:
        assert not each.get("outputs")
        assert each.get("execution_count") is None
