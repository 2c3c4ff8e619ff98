"""The whole platform with an institution's sign-in: the path of a person whose user name is an address."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.platform.sign_in.hub import Member
from tests.platform.sign_in.provider import Provider
from tests.support.platform import Platform


async def test_a_member_of_an_institution_works_as_anybody_does(own_platform: Platform, tmp_path: Path) -> None:
    callback = f"{own_platform.url}/hub/oauth_callback"
    client = {"client_id": "romanhub", "client_secret": "a secret", "redirect_uris": [callback]}
    provider = Provider(tmp_path, [client])
    provider.add("Vera.O'Brien+roman@obs.example", groups=["roman-team"])
    provider.start()
    try:
        settings = {
            "issuer": provider.issuer,
            "name": "Example Observatory",
            "client_id": "romanhub",
            "client_secret": "a secret",
            "callback_url": callback,
            "groups_claim": "groups",
        }
        file = tmp_path / "sign_in.yaml"
        file.write_text(yaml.safe_dump(settings))
        own_platform.environment = {"ROMANHUB_SIGN_IN": str(file)}
        own_platform.start()
        assert "password" not in own_platform.output

        vera = Member(own_platform, "Vera.O'Brien+roman@obs.example", "vera.o'brien+roman@obs.example")
        page = vera.sign_in()
        assert page.status_code == 200, page.text
        assert vera.start_server(size="small").is_success
        kernel = await vera.kernel()
        result = await kernel.run("import romanhub\nprint(romanhub.archive.exposures((270.0, 66.0))[0].name)")
        assert result.text.startswith("r00101"), result
        worked = await kernel.run(
            "cluster = romanhub.cluster(workers=1)\nprint(cluster.get_client().submit(sum, [40, 2]).result())"
        )
        assert worked.text.strip().endswith("42"), worked
        await kernel.run("cluster.close()")
        kernel.close()
        portal = vera.web.get("/services/portal/")
        assert "Small server" in portal.text
        vera.stop_server()
    finally:
        provider.stop()


def test_a_provider_that_does_not_answer_stops_the_start_with_one_line(
    own_platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "sign_in.yaml"
    settings = {
        "issuer": "http://127.0.0.1:9",
        "name": "Example Observatory",
        "client_id": "romanhub",
        "client_secret": "a secret",
        "callback_url": f"{own_platform.url}/hub/oauth_callback",
    }
    file.write_text(yaml.safe_dump(settings))
    own_platform.environment = {"ROMANHUB_SIGN_IN": str(file)}
    result = own_platform.command("up")
    assert result.returncode == 1
    assert "http://127.0.0.1:9" in result.stderr
    assert "Traceback" not in result.stderr
    assert "a secret" not in result.stderr
