"""Answers that a provider that keeps to the protocol never gives: the hub takes none of them for a sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from romanhub.sign_in.institution import InstitutionAuthenticator, ProviderDown
from romanhub.sign_in.oidc import configure, discover
from romanhub.sign_in.settings import OidcSettings
from tornado import web
from traitlets.config import Config

from tests.platform.sign_in.answers import Answers, answering

CODE = {"grant_type": "authorization_code"}
NOW = 2_000_000_000


@pytest.fixture
def answers() -> Iterator[Answers]:
    with answering() as running:
        running.at["/.well-known/openid-configuration"] = (
            200,
            {
                "issuer": running.url,
                "authorization_endpoint": f"{running.url}/auth",
                "token_endpoint": f"{running.url}/token",
                "userinfo_endpoint": f"{running.url}/me",
            },
        )
        yield running


@dataclass
class Clock:
    """The time, as a test sets it."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class SignedIn:
    """Somebody who is signed in: the part of the hub's user that keeps what the provider said."""

    state: dict[str, Any]
    name: str = "ada"

    async def get_auth_state(self) -> dict[str, Any]:
        return self.state

    async def save_auth_state(self, state: dict[str, Any]) -> None:
        self.state = state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(answers: Answers, clock: Clock) -> InstitutionAuthenticator:
    settings = OidcSettings.model_validate(
        {
            "issuer": answers.url,
            "name": "Example University",
            "client_id": "romanhub",
            "client_secret": "a secret",
            "callback_url": "https://roman.example.org/hub/oauth_callback",
        }
    )
    config = Config(CryptKeeper={"keys": ["00" * 32]})
    with httpx.Client(trust_env=False) as client:
        configure(config, settings, discover(settings, client))
    return InstitutionAuthenticator(clock, config=config)


def _tokens(answers: Answers, **changes: object) -> dict[str, object]:
    """Tokens as a provider gives them, with changes to the ID token's claims; None leaves one out."""
    claims = {"iss": answers.url, "aud": "romanhub", "sub": "1815", "exp": 4_000_000_000, "iat": NOW, **changes}
    token = jwt.encode({key: value for key, value in claims.items() if value is not None}, "k" * 32)
    return {"access_token": "an access token", "token_type": "Bearer", "id_token": token}


async def test_tokens_for_this_platform_from_this_provider_are_taken(
    answers: Answers, authenticator: InstitutionAuthenticator
) -> None:
    answers.at["/token"] = (200, _tokens(answers))
    answers.at["/me"] = (200, {"sub": "1815", "preferred_username": "ada"})
    tokens = await authenticator.get_token_info(None, CODE)
    assert (await authenticator.token_to_user(tokens))["preferred_username"] == "ada"


@pytest.mark.parametrize(
    "changes",
    [{"aud": "another platform"}, {"iss": "https://other.example.org"}, {"exp": 1}, {"sub": None}, {"exp": None}],
)
async def test_an_id_token_that_is_not_for_this_platform_and_this_moment_is_refused(
    answers: Answers, authenticator: InstitutionAuthenticator, changes: dict[str, object]
) -> None:
    answers.at["/token"] = (200, _tokens(answers, **changes))
    with pytest.raises(web.HTTPError, match="Example University answered with an ID token that is not for this"):
        await authenticator.get_token_info(None, CODE)


async def test_a_sign_in_without_an_id_token_is_refused(
    answers: Answers, authenticator: InstitutionAuthenticator
) -> None:
    answers.at["/token"] = (200, {"access_token": "an access token", "token_type": "Bearer"})
    with pytest.raises(web.HTTPError, match="ID token that is not for this platform"):
        await authenticator.get_token_info(None, CODE)
    # At a renewal there may be none (OpenID Connect Core 1.0, §12.2).
    assert await authenticator.get_token_info(None, {"grant_type": "refresh_token"})


async def test_an_answer_about_another_account_is_refused(
    answers: Answers, authenticator: InstitutionAuthenticator
) -> None:
    answers.at["/me"] = (200, {"sub": "1906", "preferred_username": "grace"})
    with pytest.raises(web.HTTPError, match="answered about another account"):
        await authenticator.token_to_user(_tokens(answers))


@pytest.mark.parametrize("answer", [(500, {}), (503, "later"), (200, "<html>"), (200, ["ada"]), (200, "")])
async def test_an_answer_that_is_none_counts_as_the_provider_being_down(
    answers: Answers, authenticator: InstitutionAuthenticator, answer: tuple[int, object]
) -> None:
    answers.at["/me"] = answer
    with pytest.raises(ProviderDown, match="Example University does not answer as it should"):
        await authenticator.token_to_user(_tokens(answers))


async def test_what_the_provider_gave_anew_is_kept_before_anybody_asks_again(
    answers: Answers, authenticator: InstitutionAuthenticator, clock: Clock
) -> None:
    ada = SignedIn({"token_response": _tokens(answers), "confirmed_at": NOW - 600})
    answers.at["/me"] = (200, {"sub": "1815", "preferred_username": "ada"})
    clock.now += 1
    model = await authenticator.refresh_user(ada)
    assert model["auth_state"] == ada.state
    assert ada.state["confirmed_at"] == NOW + 1


async def test_tokens_go_on_for_three_days_after_the_provider_last_confirmed_their_owner(
    answers: Answers, authenticator: InstitutionAuthenticator, clock: Clock
) -> None:
    ada = SignedIn({"token_response": _tokens(answers), "confirmed_at": NOW})
    answers.at["/me"] = (401, {"error": "invalid_token"})
    clock.now = NOW + 72 * 3600
    assert await authenticator.refresh_user(ada) is False
    assert not authenticator.auth_refresh_strict
    clock.now += 1
    assert await authenticator.refresh_user(ada) is False
    assert authenticator.auth_refresh_strict
