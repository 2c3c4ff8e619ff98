"""A search of the portal's page becomes a notebook in a real Jupyter server, and overwrites nothing."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("jupyter_server", reason="the notebook's side is tested in the analysis environment")

import httpx
import nbformat
import romanhub
from romanhub.client.notebook_maker import NAME, conditions_of, notebook_of, write_notebook

EVERYTHING = {
    "ra": "270.0000000000",
    "dec": "66.0000000000",
    "radius": "0.01",
    "filter": "F158",
    "level": "2",
    "after": "2027-06-01T00:00:00+00:00",
    "before": "2027-06-10T12:00:00+00:00",
}


def asked(**given: str):
    return conditions_of({name: [value.encode()] for name, value in given.items()})


def test_the_notebook_asks_what_the_page_asked() -> None:
    notebook = notebook_of(asked(**EVERYTHING))
    nbformat.validate(notebook)
    search = notebook["cells"][1]["source"]
    assert search.splitlines()[2] == (
        "images = archive.images(position=(270.0, 66.0), radius=0.01, filter='F158', after='2027-06-01T00:00:00', "
        "before='2027-06-10T12:00:00', level=2)"
    )
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            ast.parse(cell["source"])
    assert "archive.images()" in notebook_of(asked())["cells"][1]["source"]


@pytest.mark.parametrize(
    "given",
    [
        {"filter": "F158'); import os; ('"},
        {"ra": "nan", "dec": "1"},
        {"ra": "1"},
        {"radius": "1"},
        {"level": "2;"},
        {"code": "1"},
        {"after": "yesterday"},
    ],
)
def test_what_is_no_condition_makes_no_notebook(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        asked(**given)


def test_no_notebook_is_written_over(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.ipynb").write_text("mine")
    names = [write_notebook(tmp_path, asked()) for _ in range(2)]
    assert names == [f"{NAME}-2.ipynb", f"{NAME}-3.ipynb"]
    assert (tmp_path / f"{NAME}.ipynb").read_text() == "mine"


def test_a_jupyter_server_makes_it_and_opens_it_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "jupyter_server_config.json"
    config.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"romanhub.client.notebook_maker": True}}}))
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyter_server", f"--config={config}", f"--ServerApp.root_dir={home}"),
            *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.open_browser=False"),
            *("--IdentityProvider.token=owner", "--ServerApp.base_url=/user/ada/", "--allow-root"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(Path(romanhub.__file__).parents[1]), "JUPYTER_CONFIG_DIR": str(tmp_path)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}/user/ada/", trust_env=False)
        deadline = time.monotonic() + 120
        while True:
            try:
                client.get("api")
                break
            except httpx.HTTPError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
        stranger = client.get("romanhub/notebook", params=EVERYTHING)
        owner = {"Authorization": "token owner"}
        made = client.get("romanhub/notebook", params=EVERYTHING, headers=owner)
        again = client.get("romanhub/notebook", params=EVERYTHING, headers=owner)
        refused = client.get("romanhub/notebook", params={"filter": "__import__"}, headers=owner)
    finally:
        server.terminate()
        server.wait(30)
        log.close()
    assert stranger.status_code in (302, 403)
    assert "lab/tree" not in stranger.headers.get("location", "")
    assert made.status_code == again.status_code == 302
    assert unquote(made.headers["location"]) == f"/user/ada/lab/tree/{NAME}.ipynb"
    assert unquote(again.headers["location"]) == f"/user/ada/lab/tree/{NAME}-2.ipynb"
    assert refused.status_code == 400
    assert sorted(path.name for path in home.glob("*.ipynb")) == [f"{NAME}-2.ipynb", f"{NAME}.ipynb"]
    nbformat.validate(nbformat.read(home / f"{NAME}.ipynb", as_version=4))
