"""What an operator reads where the settings or the provider will not do: one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from romanhub.local.environments import SetupError
from romanhub.sign_in.oidc import SignInError, configure, discover
from romanhub.sign_in.settings import OidcSettings, load_sign_in
from traitlets.config import Config

from tests.platform.sign_in.answers import Answers, answering
from tests.platform.sign_in.hub import ROOT, Hub
from tests.platform.sign_in.sites import Site
from tests.support.ports import free_port

SETTINGS = {
    "issuer": "https://login.example.org",
    "client_id": "romanhub",
    "client_secret": "a-secret-that-nobody-reads",
    "callback_url": "https://roman.example.org/hub/oauth_callback",
}


@pytest.fixture
def answers() -> Iterator[Answers]:
    with answering() as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as asks:
        yield asks


def _settings(**keys: object) -> OidcSettings:
    return OidcSettings.model_validate({**SETTINGS, **keys})


def _refused(settings: OidcSettings, client: httpx.Client) -> str:
    """The one line that an operator reads."""
    with pytest.raises(SignInError) as refused:
        discover(settings, client)
    line = str(refused.value)
    assert "\n" not in line
    return line


def _document(url: str, **changes: object) -> dict[str, object]:
    addresses = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
    return {"issuer": url, **{name: f"{url}/{name}" for name in addresses}, **changes}


# The file of settings


def test_without_a_file_people_have_local_accounts() -> None:
    assert load_sign_in({}) is None
    assert load_sign_in({"ROMANHUB_SIGN_IN": ""}) is None


def test_a_file_of_settings_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sign_in.yaml"
    file.write_text(yaml.safe_dump({**SETTINGS, "name": "Example University", "groups_claim": "groups"}))
    settings = load_sign_in({"ROMANHUB_SIGN_IN": str(file)})
    assert settings
    assert settings.name == "Example University"
    assert SETTINGS["client_secret"] not in repr(settings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "this has to be keys and values, with issuer, name, client_id"),
        ("- issuer", "this has to be keys and values"),
        (
            "issuer: https://login.example.org",
            "client_id: this key is missing. The client that the",
        ),
        ("client_secret: 'a-secret-that-nobody-reads\nx: 1", ":2: this is not YAML: "),
        (
            "client_secret: *a-secret-of-stars",
            ":1: this is not YAML: a value that starts with * & or !",
        ),
        (
            "client_secret: !a-secret-of-marks",
            ":1: this is not YAML: a value that starts with * & or !",
        ),
        (
            "client_secret: !a-secret!of-marks",
            ":1: this is not YAML: a value that starts with * & or !",
        ),
        ("client_secret: a-secret-that-nobody-reads\x00", "is not YAML: it has a character"),
        ({"client_secret": 1234}, "client_secret: Input should be a valid string."),
        ({"client_secret": ""}, "client_secret: Value should have at least 1 item"),
        ({"group_claim": "groups"}, "group_claim: there is no such key. There are issuer, name,"),
        ({"issuer": "login.example.org"}, "issuer: Input should be a valid URL"),
        ({"issuer": "http://login.example.org"}, "issuer: http://login.example.org/ is not https, so passwords"),
        ({"issuer": "http://127.0.0.1.example.org"}, "is not https, so passwords would travel in the clear."),
        (
            {"callback_url": "https://roman.example.org/hub"},
            "callback_url: this has to end with /hub/oauth",
        ),
        ({"scopes": ["profile"]}, "scopes: openid has to be among them"),
        ({"admin_groups": ["admins"]}, "allowed_groups and admin_groups need groups_claim"),
        ({"confirm_within_hours": 0}, "confirm_within_hours: Input should be greater than or equal to 1."),
        ({"client_auth": "none"}, "client_auth: Input should be 'client_secret_basic' or 'client_secret_post'."),
    ],
)
def test_a_mistake_in_the_file_is_a_line_that_shows_nothing_of_the_secret(
    tmp_path: Path, text: str | dict[str, object], says: str
) -> None:
    file = tmp_path / "sign_in.yaml"
    file.write_text(text if isinstance(text, str) else yaml.safe_dump({**SETTINGS, **text}))
    with pytest.raises(SetupError) as refused:
        load_sign_in({"ROMANHUB_SIGN_IN": str(file)})
    lines = str(refused.value).splitlines()
    assert any(says in line for line in lines), lines
    assert all(line.startswith(str(file)) for line in lines), lines
    assert "a-secret" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read: No such file or directory"):
        load_sign_in({"ROMANHUB_SIGN_IN": str(tmp_path / "gone.yaml")})
    with pytest.raises(SetupError, match="cannot be read: Is a directory"):
        load_sign_in({"ROMANHUB_SIGN_IN": str(tmp_path)})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match="not text in UTF-8"):
        load_sign_in({"ROMANHUB_SIGN_IN": str(tmp_path / "binary")})


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_a_provider_on_this_machine_may_do_without_https(issuer: str) -> None:
    assert str(_settings(issuer=issuer).issuer).startswith(issuer)


def test_the_operators_page_names_every_key_and_its_example_is_right() -> None:
    page = (ROOT / "docs" / "operator-sign-in.md").read_text(encoding="utf-8")
    missing = [key for key in OidcSettings.model_fields if f"`{key}`" not in page]
    assert not missing
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert OidcSettings.model_validate(example).groups_claim == "groups"


# Finding the provider


def test_a_real_provider_is_found(site: Site, client: httpx.Client) -> None:
    found = discover(_settings(issuer=site.provider.issuer), client)
    assert found.issuer == site.provider.issuer
    assert found.token_endpoint == f"{site.provider.issuer}/token"
    # Some write their issuer with a slash at the end.
    assert discover(_settings(issuer=f"{site.provider.issuer}/"), client) == found


def test_a_provider_that_cannot_be_reached_is_named(client: httpx.Client) -> None:
    issuer = f"http://127.0.0.1:{free_port()}"
    line = _refused(_settings(issuer=issuer), client)
    assert f"does not answer: {issuer}/.well-known/openid-configuration: " in line
    assert line.endswith("Check the issuer, and that this machine can reach it.")


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, "not here", "answers 404 Not Found. Check the issuer"),
        (301, "", "answers 301 Moved Permanently. Check the issuer"),
        (503, "later", "answers 503 Service Unavailable. Check the issuer"),
        (200, "<html>Welcome</html>", "answers, but with something else: no OpenID provider speaks there."),
        (200, ["a"], "answers, but with something else"),
        (
            200,
            {"issuer": "x"},
            "with nothing usable for authorization_endpoint, token_endpoint, userinfo",
        ),
    ],
)
def test_an_address_that_answers_with_something_else_is_no_provider(
    answers: Answers, client: httpx.Client, status: int, body: object, says: str
) -> None:
    answers.at["/.well-known/openid-configuration"] = (status, body)
    assert says in _refused(_settings(issuer=answers.url), client)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"issuer": "https://other.example.org"},
            "speaks for https://other.example.org, not for http://127.0.0.1",
        ),
        ({"token_endpoint": "http://login.example.org/t"}, "gives http://login.example.org/t as token_endpoint"),
        ({"end_session_endpoint": "http://login.example.org/s"}, "as end_session_endpoint, which is not https"),
        (
            {"token_endpoint_auth_methods_supported": ["tls_client_auth"]},
            "a client's secret by tls_client_auth",
        ),
    ],
)
def test_a_provider_that_is_not_the_one_that_was_asked_or_not_safe_is_refused(
    answers: Answers, client: httpx.Client, changes: dict[str, object], says: str
) -> None:
    answers.at["/.well-known/openid-configuration"] = (200, _document(answers.url, **changes))
    assert says in _refused(_settings(issuer=answers.url), client)


@pytest.mark.parametrize(
    ("methods", "given", "basic"),
    [
        (None, None, True),
        (["client_secret_post", "client_secret_basic"], None, True),
        (["client_secret_post"], None, False),
        (["client_secret_basic"], "client_secret_post", False),
    ],
)
def test_the_secret_is_sent_as_the_provider_takes_it(
    answers: Answers, client: httpx.Client, methods: list[str] | None, given: str | None, basic: bool
) -> None:
    changes = {} if methods is None else {"token_endpoint_auth_methods_supported": methods}
    answers.at["/.well-known/openid-configuration"] = (200, _document(answers.url, **changes))
    settings = _settings(issuer=answers.url, client_auth=given)
    config = Config(CryptKeeper={"keys": ["00" * 32]})
    configure(config, settings, discover(settings, client))
    assert config.InstitutionAuthenticator.basic_auth is basic


# The key that the hub keeps the provider's tokens with


@pytest.mark.parametrize("key", ["", "short", "x" * 64])
def test_a_key_that_cannot_be_used_is_a_line(
    answers: Answers, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", key)
    answers.at["/.well-known/openid-configuration"] = (200, _document(answers.url))
    settings = _settings(issuer=answers.url)
    with pytest.raises(SignInError) as refused:
        configure(Config(), settings, discover(settings, client))
    line = str(refused.value)
    assert line.startswith("The hub keeps people's sign-in encrypted, and has no key that it can use for it: ")
    assert "Set JUPYTERHUB_CRYPT_KEY to 32 random bytes in hex" in line
    assert "\n" not in line


def test_a_hub_that_cannot_sign_people_in_says_so_and_does_not_start(site: Site, tmp_path: Path) -> None:
    hub = Hub(tmp_path, environment={"JUPYTERHUB_CRYPT_KEY": ""})
    hub.settings(**{**site.hub.given, "callback_url": hub.callback})
    hub.launch()
    assert hub.wait() == 1
    assert "Traceback" not in hub.output
    assert hub.output.splitlines()[-1].startswith("The hub keeps people's sign-in encrypted, and has no key")
