from __future__ import annotations

import pytest
from romanhub.portal.settings import PortalSettings, SettingsError

ENOUGH = {
    "JUPYTERHUB_API_TOKEN": "a-token-of-the-portal",
    "HUBQUOTA_DATABASE_URL": "sqlite:////srv/ledger.sqlite",
    "HUBQUOTA_TIERS": "/srv/tiers.yaml",
}


def test_what_the_hub_gives_its_services_is_enough_with_the_ledger_and_the_tiers() -> None:
    settings = PortalSettings.from_environment(ENOUGH)

    assert settings.hub.prefix == "/services/portal/"
    assert settings.hub.redirect_uri == "/services/portal/oauth_callback"
    assert settings.hub.allowed_scopes == {"access:services", "access:services!service=portal"}
    assert settings.hub.page("home") == "/hub/home"


def test_a_hub_below_a_path_with_hosts_of_its_own() -> None:
    settings = PortalSettings.from_environment(
        ENOUGH
        | {
            "JUPYTERHUB_BASE_URL": "/roman",
            "JUPYTERHUB_HOST": "https://hub.example",
            "JUPYTERHUB_SERVICE_NAME": "desk",
            "JUPYTERHUB_SERVICE_PREFIX": "/roman/services/desk",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "https://desk.hub.example/roman/services/desk/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["custom:desk:use"]',
        }
    )

    assert settings.hub.prefix == "/roman/services/desk/"
    assert settings.hub.callback_path == "/roman/services/desk/oauth_callback"
    assert settings.hub.page("spawn") == "https://hub.example/roman/hub/spawn"
    assert settings.hub.allowed_scopes == {"custom:desk:use"}


def test_who_may_use_every_service_may_use_this_one() -> None:
    only = '["access:services!service=portal"]'
    settings = PortalSettings.from_environment(ENOUGH | {"JUPYTERHUB_OAUTH_ACCESS_SCOPES": only})

    assert settings.hub.allowed_scopes == {"access:services", "access:services!service=portal"}


def test_every_variable_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        PortalSettings.from_environment({"HUBQUOTA_TIERS": ""})

    for variable in ENOUGH:
        assert f"{variable}: is not set" in str(refused.value)


@pytest.mark.parametrize("scopes", ["access:services", "[1]", '{"a": 1}'])
def test_scopes_that_are_no_list_of_names_are_refused_by_the_variable_s_name(scopes: str) -> None:
    with pytest.raises(SettingsError, match="JUPYTERHUB_OAUTH_ACCESS_SCOPES: "):
        PortalSettings.from_environment(ENOUGH | {"JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes})


def test_no_secret_is_written_out_with_the_settings() -> None:
    settings = PortalSettings.from_environment(
        ENOUGH | {"HUBQUOTA_DATABASE_URL": "postgresql://ledger:hunter2@db/ledger"}
    )

    written = f"{settings!r} {settings}"
    for secret in ("a-token-of-the-portal", "hunter2"):
        assert secret not in written


def test_no_secret_is_written_out_with_a_refusal() -> None:
    with pytest.raises(SettingsError) as refused:
        PortalSettings.from_environment(ENOUGH | {"JUPYTERHUB_API_TOKEN": "short"})

    assert "JUPYTERHUB_API_TOKEN" in str(refused.value)
    assert "short" not in str(refused.value).replace("too_short", "")
