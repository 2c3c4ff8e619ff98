"""What if: a tiers file that an administrator has in mind, on the use that has been."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from hubquota.models.whatif import Budgets, Outcome
from hubquota.services.whatif import Report
from hubquota.storage.times import moment

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.forms import Form
from romanhub.portal.gate import Gate, ensure_admin
from romanhub.portal.problems import PortalError, invalid
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import PortalSettings
from romanhub.portal.trying import LONGEST_DAYS, LONGEST_FILE, Trying

#: How many days the form suggests, and how many accounts the answer lists.
_DAYS = 90
_ACCOUNTS = 50


@dataclass(frozen=True)
class OutcomeRow:
    """What would have come of one account."""

    outcome: Outcome
    #: How many starts each limit would have refused, as text.
    refused: str


def routes(settings: PortalSettings, gate: Gate, desk: Desk, trying: Trying, pages: Pages) -> APIRouter:
    """The routes of another tiers file."""
    router = APIRouter()
    admin, form = Depends(gate.admin), Depends(gate.form)

    async def show(
        request: Request,
        given: dict[str, str],
        *,
        report: Report | None = None,
        mistake: str = "",
        status: int = 200,
    ) -> HTMLResponse:
        return pages.page(
            request,
            "whatif.html",
            here="what-if",
            status=status,
            given=given,
            report=report,
            outcomes=_rows(report) if report else [],
            mistake=mistake,
            moment=moment,
            longest_kib=LONGEST_FILE // 1024,
            longest_days=LONGEST_DAYS,
            titles={name: one.title for name, one in desk.tiers.tiers.items()},
        )

    @router.get("/admin/what-if")
    async def ask(request: Request, _visitor: Visitor = admin) -> HTMLResponse:
        now = desk.clock()
        text = await desk.ask(lambda: Path(settings.tiers_file).read_text(encoding="utf-8"))
        given = {
            "tiers": text,
            "since": f"{now - timedelta(days=_DAYS):%Y-%m-%d}",
            "until": f"{now:%Y-%m-%d}",
            "budgets": "tier",
        }
        return await show(request, given)

    @router.post("/admin/what-if")
    async def answer(request: Request, sent: Form = form) -> HTMLResponse:
        ensure_admin(sent.visitor)
        given = {name: sent.fields.get(name, [""])[0] for name in ("tiers", "since", "until", "budgets")}
        try:
            # A file that is chosen counts before the text.
            text = sent.text("file", longest=LONGEST_FILE) or sent.text("tiers", longest=LONGEST_FILE)
            given["tiers"] = text
            since, until = sent.start_of("since"), sent.end_of("until")
            if not text or since is None:
                raise invalid("Give the text of a tiers file, and the first day.")
            if given["budgets"] not in ("tier", "granted", "unlimited"):
                raise invalid("Budgets are those of the tiers, what was granted, or unlimited.")
            report = await trying.run(text, since, until, budgets=cast("Budgets", given["budgets"]))
        except PortalError as error:
            # Nothing that was written is lost.
            return await show(request, given, mistake=error.problem.detail, status=error.problem.status)
        return await show(request, given, report=report)

    return router


def _rows(report: Report) -> list[OutcomeRow]:
    """Return the accounts that would have lost the most, first."""
    worst = sorted(report.outcomes, key=lambda one: (-(one.sums.refused + one.sums.stopped), one.account))
    return [
        OutcomeRow(
            one,
            ", ".join(
                f"{number} by {limit}" for limit, number in sorted(Counter(r.limit for r in one.refused).items())
            ),
        )
        for one in worst[:_ACCOUNTS]
    ]
