"""The API keeps to its own description, whatever is sent to it: schemathesis makes up the requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hubquota.models.overrides import Overridden
from hubquota.models.requests import Actor
from hubquota.services.ledger import Ledger
from hubquota.services.requests import Requests
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from hypothesis import HealthCheck, Phase, given, settings
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.platform.community.shelf import full_shelf
from tests.platform.portal.purge_world import PurgeWorld, begin_purges, last_plan
from tests.platform.portal.world import PREFIX, SERVICE_TOKEN, TIERS, Clock, HubStandIn, bearer, tell_story

#: Requests that are made up for each operation: such as the description allows, and such as it does not.
EXAMPLES = {GenerationMode.POSITIVE: 8, GenerationMode.NEGATIVE: 4}
ADMIN = ("access:services!service=portal", "admin-ui")
#: Accounts that there are, so that what is made up often hits something.
NAMES = ("ada", "cecilia", "survey-team", "lens-project", "olga", "nobody")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    missing_required_header,
    unsupported_method,
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    url = f"sqlite:///{tmp_path_factory.mktemp('contract')}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    clock, hub, tiers = Clock(), HubStandIn(), TiersFile(TIERS)
    ledger = Ledger(engine, clock)
    tell_story(ledger, clock, tiers.current())
    ledger.give_override(
        "ada", Overridden(workers=9), clock.now + timedelta(days=9), actor="e", reason="r", key="k"
    )
    ledger.tell("edwin", kind="allocation-granted", key="k", subject="Granted", text="Granted.")
    purges = PurgeWorld(tmp_path_factory.mktemp("purge"), ledger, clock)
    begin_purges(purges, ledger, clock)
    last_plan(purges, ledger)
    ledger.open_project("lens-project", "team", pi="ada", actor="edwin")
    for tier in ("team", "researcher"):
        Requests(engine, clock).ask("cecilia", tier, 5, justification="More.", by=Actor("cecilia"))
    hub.add("edwin", scopes=ADMIN)
    given = PortalSettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "HUBQUOTA_DATABASE_URL": url,
            "HUBQUOTA_TIERS": str(TIERS),
            "HUBQUOTA_PURGE": str(purges.file),
        }
    )
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    shelf = full_shelf(tmp_path_factory.mktemp("community"))
    yield create_app(
        given, ledger=ledger, tiers=tiers, hub=HubClient(given.hub, http), clock=clock, catalogue=shelf.catalogue
    )
    shelf.engine.dispose()
    engine.dispose()


def _hit(given: Any) -> Any:
    """Put numbers and names that there are in the place of such as the description allows."""
    if not isinstance(given, dict):
        return given
    found = dict(given)
    for name, value in given.items():
        if name in ("account", "project", "name") and isinstance(value, str) and value:
            found[name] = NAMES[len(value) % len(NAMES)]
        if name == "tiers" and isinstance(value, str) and value:
            found[name] = TIERS.read_text()
        if name == "sent" and isinstance(value, list):
            found[name] = ["allocation-granted"]
        if name == "address" and isinstance(value, str) and len(value) % 2:
            found[name] = "edwin@example.org"
        if name in ("number", "target", "renews") and type(value) is int and value > 0:
            found[name] = value % 8 + 1
    return found


@pytest.fixture(scope="module")
def described(app: FastAPI) -> Any:
    schema = schemathesis.openapi.from_asgi(f"{PREFIX}api/openapi.json", app)

    @schema.hook
    def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        return _hit(path_parameters)

    @schema.hook
    def map_query(_context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
        return _hit(query)

    @schema.hook
    def map_body(_context: Any, body: Any) -> Any:
        return _hit(body)

    return schema


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_sent_the_answer_is_as_described(described: Any, mode: GenerationMode) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    succeeded: dict[str, int] = {}
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not (
            operation.query or operation.body or operation.path_parameters
        ):
            continue  # there is nothing that could be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES[mode],
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: schemathesis.Case) -> None:
            response = case.call_and_validate(headers=bearer("token-of-edwin"), checks=CHECKS)
            succeeded.setdefault(case.operation.label, 0)
            succeeded[case.operation.label] += response.status_code < 300

        send()
    assert len(operations) > 45
    if mode is GenerationMode.POSITIVE:
        # What is made up gets past the checks of what is sent, and to the ledger.
        assert sum(number > 0 for number in succeeded.values()) >= 34, succeeded
