"""What is read is counted once, and told to the broker in batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import httpx
from pydantic import SecretStr
from romanhub.client.credentials import CredentialSource
from romanhub.client.usage import Amount, Usage, to_broker, usage
from romanhub.models.usage import Read, UsageReport


class Desk:
    """Takes reports, or not, and keeps what is to be done later."""

    def __init__(self) -> None:
        self.reports: list[UsageReport] = []
        self.open = True
        self.later: list[Callable[[], None]] = []
        self.usage = Usage(self.take, lambda seconds, what: self.later.append(what), "cluster-1")

    def take(self, report: UsageReport) -> bool:
        self.reports.append(report)
        return self.open

    def wait(self) -> None:
        waiting, self.later[:] = list(self.later), []
        for each in waiting:
            each()


def test_reads_are_gathered_and_sent_once() -> None:
    desk = Desk()
    for _ in range(3):
        desk.usage.add("roman-l2", "us-east-1", bytes=100, requests=2)
    desk.usage.add("gaia", "eu-west-1", bytes=7, requests=1)
    assert len(desk.later) == 1
    assert desk.reports == []
    desk.wait()
    [report] = desk.reports
    assert report.cluster == "cluster-1"
    assert set(report.reads) == {
        Read(dataset="roman-l2", region="us-east-1", bytes=300, requests=6),
        Read(dataset="gaia", region="eu-west-1", bytes=7, requests=1),
    }
    desk.usage.report()
    assert len(desk.reports) == 1
    desk.usage.add("gaia", "eu-west-1", bytes=3, requests=1)
    assert desk.usage.total()["gaia", "eu-west-1"] == Amount(10, 2)
    desk.wait()
    assert desk.reports[1].reads == (Read(dataset="gaia", region="eu-west-1", bytes=3, requests=1),)


def test_a_report_that_did_not_arrive_is_sent_again_as_it_was() -> None:
    desk = Desk()
    desk.usage.add("gaia", "eu-west-1", bytes=3, requests=1)
    desk.open = False
    desk.wait()
    desk.usage.add("gaia", "eu-west-1", bytes=4, requests=1)
    desk.open = True
    desk.wait()
    first, again, new = desk.reports
    assert first == again
    assert new.id != first.id
    assert new.reads[0].bytes == 4
    desk.wait()
    assert len(desk.reports) == 3


REPORT = UsageReport(id="0" * 32, reads=(Read(dataset="gaia", region="x", bytes=3, requests=1),))


def test_a_report_goes_to_the_broker_with_the_servers_token(monkeypatch) -> None:
    asked: list[httpx.Request] = []
    status = [200]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status[0], json={"counted": True})

    broker = CredentialSource("http://broker/x/", SecretStr("token"), transport=httpx.MockTransport(answer))
    monkeypatch.setattr("romanhub.client.usage.source", lambda: broker)
    assert to_broker(REPORT)
    assert str(asked[0].url) == "http://broker/x/api/usage"
    assert asked[0].headers["authorization"] == "Bearer token"
    assert UsageReport.model_validate_json(asked[0].content) == REPORT
    status[0] = 503
    assert not to_broker(REPORT)
    status[0] = 422
    assert to_broker(REPORT)


def test_outside_of_the_platform_there_is_nobody_to_tell(monkeypatch) -> None:
    def nobody() -> CredentialSource:
        return CredentialSource.from_environment({})

    monkeypatch.setattr("romanhub.client.usage.source", nobody)
    assert to_broker(REPORT)


def test_what_the_archive_reads_is_counted_by_data_set(archive) -> None:
    before = dict(usage.total())
    exposure = archive.exposures()[0]
    with exposure.open() as model:
        model.data[3]
    key = ("roman-l2", "us-east-1")
    now = usage.total()
    assert 20_000 < now[key].bytes - before.get(key, Amount()).bytes < exposure.record.size
    assert now["roman-l4", "us-east-1"].requests > 0
