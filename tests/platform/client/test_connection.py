"""The connection to the portal: what it asks, and what it says when something is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

from pydantic import BaseModel
from romanhub.client.archive import Archive
from romanhub.client.connection import Portal
from romanhub.client.errors import NotAllowedError, OutsidePlatformError, PortalUnavailableError


class Greeting(BaseModel):
    hello: str


def test_the_portal_is_asked_with_the_servers_token(portal) -> None:
    portal.answer("api/hello", {"hello": "ada", "newer": "fields do no harm"})
    assert Portal.from_environment().get("api/hello", Greeting).hello == "ada"


@pytest.mark.parametrize("variable", ["ROMANHUB_BROKER_URL", "JUPYTERHUB_API_TOKEN"])
def test_outside_the_platform_it_says_where_to_run(portal, monkeypatch, variable) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(OutsidePlatformError, match="Start a server on the platform") as caught:
        Archive().exposures()
    assert portal.url not in str(caught.value)


def test_a_portal_that_is_down_is_said_to_be_down(monkeypatch) -> None:
    monkeypatch.setenv("ROMANHUB_PORTAL_URL", "http://127.0.0.1:9/services/portal/")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret-token")
    with pytest.raises(PortalUnavailableError, match=r"does not answer\. Wait a minute") as caught:
        Portal.from_environment().get("api/hello", Greeting)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_refused_token_is_said_to_be_refused(portal, monkeypatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "an-old-token")
    with pytest.raises(NotAllowedError, match=r"refused this server's token\. Restart your server") as caught:
        Portal.from_environment().get("api/hello", Greeting)
    assert "an-old-token" not in str(caught.value)


def test_the_portals_own_words_are_passed_on(portal) -> None:
    portal.answer("api/hello", {"detail": "The ledger does not answer."}, 503, "application/problem+json")
    with pytest.raises(PortalUnavailableError, match=r"could not answer: The ledger does not answer\. Try again"):
        Portal.from_environment().get("api/hello", Greeting)


def test_a_status_without_words_is_named(portal) -> None:
    portal.answer("api/hello", b"<html>", 502, "text/html")
    with pytest.raises(PortalUnavailableError, match="HTTP status 502"):
        Portal.from_environment().get("api/hello", Greeting)


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b'{"goodbye": 1}'])
def test_an_answer_that_is_not_understood_is_said_to_be(portal, body) -> None:
    portal.answer("api/hello", body)
    with pytest.raises(PortalUnavailableError, match=r"does not understand\. Restart your server"):
        Portal.from_environment().get("api/hello", Greeting)


def test_it_shows_neither_address_nor_token(portal) -> None:
    shown = repr(Portal.from_environment())
    assert "127.0.0.1" not in shown
    assert "token" not in shown


def test_links_are_within_the_platform(portal) -> None:
    assert Portal.from_environment().path == "/services/portal/"
