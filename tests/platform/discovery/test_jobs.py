"""Jobs: from being made to being removed, whose they are, and what the service forgets and what it does not."""

from __future__ import annotations

import contextlib
import io
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from astropy.table import Table
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from romanhub.discovery.jobs import ENDED, Jobs, JobStateError, UnknownJobError
from romanhub.discovery.tap.documents import TapParameters
from vo_models.uws.models import JobSummary

from tests.platform.discovery.test_hostile import HOSTILE
from tests.platform.discovery.world import NOW, Service

#: Takes minutes, for as long as nobody stops it.
ENDLESS = (
    "SELECT count(*) AS n FROM catalogs.stars a, catalogs.stars b, catalogs.stars c "
    "WHERE a.flux + b.flux > c.flux * 3"
)


def make(service: Service, query: str, token: str = "token-of-ann", **also: str) -> str:
    data = {"LANG": "ADQL", "QUERY": query, **also}
    answer = service.session(token).post(f"{service.url}tap/async", data=data, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def state(url: str, service: Service, token: str = "token-of-ann", **params: object) -> requests.Response:
    return service.session(token).get(url, params=params, timeout=120)


def test_pyvo_runs_a_job_to_its_end(service: Service) -> None:
    tap = service.tap()
    job = tap.submit_job("SELECT id FROM catalogs.stars WHERE flux > 0.5", maxrec=10_000)
    assert job.phase == "PENDING"
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"], timeout=120)
    assert set(job.fetch_result()["id"]) == {int(star) for star in (service.sky.flux > 0.5).nonzero()[0]}
    assert job.job_id in {one.jobid for one in tap.get_job_list()}
    job.delete()
    assert job.job_id not in {one.jobid for one in tap.get_job_list()}


def test_a_job_that_fails_says_why(service: Service) -> None:
    url = make(service, HOSTILE[0], PHASE="RUN")
    document = state(url, service, WAIT=60)
    while "<uws:phase>ERROR" not in document.text:
        document = state(url, service, WAIT=60)
    assert "SELECT" in document.text
    assert 'value="ERROR"' in state(f"{url}/error", service).text
    assert state(f"{url}/results/result", service).status_code == 404
    assert JobSummary[TapParameters].from_xml(document.content).owner_id == "ann"


def test_a_job_that_runs_can_be_aborted_and_another_deleted(service: Service) -> None:
    session = service.session("token-of-mia")
    aborted, deleted = (make(service, ENDLESS, "token-of-mia", PHASE="RUN") for _ in range(2))
    for url in (aborted, deleted):
        while session.get(f"{url}/phase").text == "QUEUED":
            session.get(url, params={"WAIT": 60, "PHASE": "QUEUED"}, timeout=120)
        assert session.get(f"{url}/phase").text == "EXECUTING"
    assert session.post(f"{aborted}/phase", data={"PHASE": "ABORT"}).status_code == 200
    assert session.get(f"{aborted}/phase").text == "ABORTED"
    assert session.delete(deleted).status_code == 200
    assert session.get(deleted).status_code == 404
    # What they held is free again: another runs to its end.
    url = make(service, "SELECT count(*) AS n FROM catalogs.stars", "token-of-mia", PHASE="RUN")
    while session.get(f"{url}/phase").text != "COMPLETED":
        assert session.get(f"{url}/phase").text in ("QUEUED", "EXECUTING", "COMPLETED")
        session.get(url, params={"WAIT": 60}, timeout=120)


def test_a_job_is_its_owners_alone(service: Service) -> None:
    url = make(service, "SELECT count(*) AS n FROM roman.images", "token-of-tom")
    for path in ("", "/phase", "/parameters", "/results", "/results/result", "/error", "/owner"):
        assert state(url + path, service).status_code == 404
    assert service.session().post(f"{url}/phase", data={"PHASE": "RUN"}).status_code == 404
    assert service.session().delete(url).status_code == 404
    assert state(f"{url}/owner", service, "token-of-tom").text == "tom"


def test_a_job_can_be_changed_until_it_is_started(service: Service) -> None:
    session = service.session()
    url = make(service, "SELECT 1", RUNID="mine")
    session.post(f"{url}/parameters", data={"QUERY": "SELECT count(*) AS n FROM catalogs.stars", "MAXREC": "5"})
    session.post(f"{url}/executionduration", data={"EXECUTIONDURATION": "7"})
    session.post(f"{url}/destruction", data={"DESTRUCTION": "2027-07-02T00:00:00Z"})
    assert state(f"{url}/executionduration", service).text == "7"
    assert state(f"{url}/destruction", service).text == "2027-07-02T00:00:00.000Z"
    # More than is allowed becomes what is allowed.
    session.post(f"{url}/executionduration", data={"EXECUTIONDURATION": "99999"})
    assert state(f"{url}/executionduration", service).text == "120"
    session.post(f"{url}/phase", data={"PHASE": "RUN"})
    while state(f"{url}/phase", service).text != "COMPLETED":
        state(url, service, WAIT=60)
    assert b"count(*)" in state(f"{url}/parameters", service).content
    assert session.post(f"{url}/parameters", data={"MAXREC": "6"}).status_code == 400
    found = Table.read(io.BytesIO(state(f"{url}/results/result", service).content), format="votable")
    assert found["n"][0] == len(service.sky.ra)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_what_ran_when_the_service_ended_has_failed(tmp_path: Path) -> None:
    clock = Clock()
    jobs = Jobs(tmp_path, clock=clock, most_each=3, keep=timedelta(days=1))
    waiting, running, done = (jobs.create("user:ann", [("QUERY", "x")], seconds=5, run_id=None) for _ in range(3))
    for job in (running, done):
        jobs.queue("user:ann", job.id)
        jobs.begin("user:ann", job.id)
    jobs.complete("user:ann", done.id, b"rows", media_type="text/csv", ending="csv")
    with pytest.raises(JobStateError, match="as many as one may keep"):
        jobs.create("user:ann", [], seconds=5, run_id=None)
    jobs.create("user:tom", [], seconds=5, run_id=None)
    jobs.close()
    again = Jobs(tmp_path, clock=clock, most_each=3, keep=timedelta(days=1))
    assert again.get("user:ann", waiting.id).phase == "PENDING"
    assert again.get("user:ann", running.id).phase == "ERROR"
    assert again.get("user:ann", done.id).phase == "COMPLETED"
    assert again.result_path(done.id).read_bytes() == b"rows"
    assert again.expire() == []
    clock.now += timedelta(days=1)
    assert len(again.expire()) == 4
    assert not list(tmp_path.glob("*.result"))
    with pytest.raises(UnknownJobError):
        again.get("user:ann", done.id)
    again.close()


class LifeOfAJob(RuleBasedStateMachine):
    """Whatever is asked of a job in whatever order, what has ended stays as it ended."""

    @initialize()
    def begin_with_one(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.jobs = Jobs(Path(self.folder.name), clock=Clock(), most_each=5, keep=timedelta(days=1))
        self.number = self.jobs.create("a", [], seconds=1, run_id=None).id
        self.ended: str | None = None

    @rule(
        what=st.sampled_from(
            [
                lambda jobs, number: jobs.queue("a", number),
                lambda jobs, number: jobs.begin("a", number),
                lambda jobs, number: jobs.complete("a", number, b"x", media_type="m", ending="e"),
                lambda jobs, number: jobs.fail("a", number, "why"),
                lambda jobs, number: jobs.abort("a", number),
            ]
        )
    )
    def ask(self, what: object) -> None:
        with contextlib.suppress(JobStateError):
            what(self.jobs, self.number)  # type: ignore[operator]

    @invariant()
    def what_has_ended_stays(self) -> None:
        if not hasattr(self, "jobs"):
            return
        job = self.jobs.get("a", self.number)
        if self.ended is not None:
            assert job.phase == self.ended
        if job.phase in ENDED:
            self.ended = job.phase
            assert job.ended is not None
        assert self.jobs.result_path(self.number).exists() == (job.phase == "COMPLETED")
        assert (job.error is not None) == (job.phase == "ERROR")

    def teardown(self) -> None:
        if hasattr(self, "jobs"):
            self.jobs.close()
            self.folder.cleanup()


TestLifeOfAJob = LifeOfAJob.TestCase
TestLifeOfAJob.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
