"""The platform's search service over the sample, run by the hub side's Python, and a hub that knows one token.

`python search_service.py PORT FOLDER DATASETS SAMPLE TOKEN` runs both on one port until it is ended.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from romanhub.discovery.app import create_app
from romanhub.discovery.index import build
from romanhub.discovery.settings import DiscoverySettings
from romanhub.discovery.sources import FolderSource
from romanhub.discovery.store import Place
from romanhub.portal.hub import HubClient
from romanhub.services.datasetsfile import DatasetsFile


def main(port: str, folder: str, datasets_file: str, sample: str, token: str) -> None:
    datasets, place = DatasetsFile(datasets_file), Place(Path(folder) / "search")
    build(
        datasets.current(),
        FolderSource(Path(sample), one_for_all=True),
        place,
        now=datetime.now(UTC),
        report=print,
    )
    settings = DiscoverySettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": "the-service-s-own",
            "ROMANHUB_SEARCH_URL": f"http://127.0.0.1:{port}/services/archive/",
            "ROMANHUB_DATASETS": datasets_file,
            "ROMANHUB_SEARCH_FOLDER": str(place.root),
            "ROMANHUB_SEARCH_JOBS": str(Path(folder) / "jobs"),
        }
    )

    def who(request: httpx.Request) -> httpx.Response:
        """The hub's answer to whose a token is."""
        if request.headers["authorization"] != f"token {token}":
            return httpx.Response(403)
        return httpx.Response(200, json={"name": "ada", "scopes": ["access:services!service=archive"]})

    hub = HubClient(settings.hub, httpx.AsyncClient(transport=httpx.MockTransport(who)))
    app = create_app(settings, hub=hub, datasets=datasets, clock=lambda: datetime.now(UTC))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
