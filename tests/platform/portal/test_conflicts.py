"""Two people at once, and pages that are no longer true: each is told in a sentence, and nothing is done twice."""

from __future__ import annotations

from datetime import timedelta

import httpx
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.services.requests import Requests
from romanhub.portal import scopes

from tests.platform.portal.world import Clock, HubStandIn, Late, words

PERSON = ("access:services!service=portal",)


async def test_two_who_ask_for_the_same_renewal_make_one_request_and_the_second_reads_why(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock
) -> None:
    ledger.open_project("survey", "team", pi="ada", actor="edwin")
    ledger.set_member("survey", "eve", "pi", actor="ada")
    ending = ledger.grant(
        "survey", to_units(10), actor="edwin", reason="x", key="1", tier="team",
        end=clock.now + timedelta(days=9), renewable=True,
    )  # fmt: skip
    opened = [
        await Late.opens(web, hub.add(name, scopes=(*PERSON, scopes.REQUEST)), "requests")
        for name in ("ada", "eve")
    ]
    ada, eve = opened
    form = {"account": "survey", "what": f"renew:{ending.id}", "justification": "We go on."}
    assert (await ada.sends("requests", **form)).status_code == 303
    second = await eve.sends("requests", **form)
    assert second.status_code == 409
    assert "That was not sent ada has asked for the tier team for survey already" in words(second)
    assert "Withdraw it to ask again." in words(second)
    # What she has written is still there.
    assert "We go on." in second.text
    assert len(Requests.sharing(ledger).queue(account="survey")) == 1


async def test_two_administrators_who_renew_at_once_grant_one_term(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", to_units(10), actor="x", term_days=9, renewable=True)
    requester = await Late.opens(web, hub.add("ada", scopes=(*PERSON, scopes.REQUEST)), "requests")
    (first,) = ledger.allocations("ada")
    answer = await requester.sends("requests", what=f"renew:{first.id}", justification="More.")
    assert answer.status_code == 303, answer.text
    opened = [
        await Late.opens(web, hub.add(name, scopes=(*PERSON, "admin-ui")), "admin/requests")
        for name in ("edwin", "nina")
    ]
    edwin, nina = opened
    given = {"decision": "approve", "reason": "Good use."}
    assert (await edwin.sends("admin/requests/1", **given)).status_code == 303
    late = await nina.sends("admin/requests/1", **given)
    assert late.status_code == 409
    assert "Somebody was here first" in words(late)
    assert "was approved by edwin" in words(late)
    assert "Back to the page" in words(late)
    assert len(ledger.allocations("ada")) == 2


async def test_an_allocation_that_somebody_else_has_just_revoked_is_told(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock
) -> None:
    ledger.open_account("ada", "explorer", to_units(10), actor="x", term_days=9)
    (one,) = ledger.allocations("ada")
    opened = [
        await Late.opens(web, hub.add(name, scopes=(*PERSON, "admin-ui")), "admin/accounts/ada")
        for name in ("edwin", "nina")
    ]
    edwin, nina = opened
    given = {"account": "ada", "allocation": str(one.id), "reason": "Left."}
    assert (await edwin.sends("admin/acts/revoke", **given)).status_code == 303
    late = await nina.sends("admin/acts/revoke", **given)
    assert late.status_code == 409, late.text
    assert "That cannot be done now" in words(late)
    assert f"llocation {one.id}" in words(late)
