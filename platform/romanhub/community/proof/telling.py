"""What people are told of runs: authors when something else is true of their notebook, others how theirs went."""

from __future__ import annotations

import hashlib

from hubquota.models.money import format_credits
from hubquota.models.notices import LONGEST_SUBJECT

from romanhub.community.proof.status import Status
from romanhub.community.storage.runs import Shared
from romanhub.models.entries import Proof
from romanhub.models.runs import Outcome, Run

#: What the notices are about; people may choose not to be sent them.
PROOF_KIND, RUN_KIND = "notebook-proof", "notebook-run"

_SUBJECTS = {
    Proof.PASSED: "{name} runs",
    Proof.FAILED: "{name} does not run any more",
    Proof.STALE: "{name}: no run has passed for a long time",
}


def of_entry(one: Shared, found: Status) -> dict[str, str] | None:
    """Return the notice for an author: its key, subject and text. None where there is nothing to tell."""
    if found.last is None or found.proof is Proof.NEVER:
        return None
    told = f"Version {found.last.version} of your notebook {one.name}, which others can open,"
    passed = f"{found.passed_at:%Y-%m-%d}" if found.passed_at else "it was published"
    texts = {
        Proof.PASSED: f"{told} ran from top to bottom. Its card says so.",
        Proof.FAILED: f"{told} failed in its regular run: {how(found.last)} Its card says so until a run passes. "
        "Publish a version that runs, or say that it is deprecated.",
        Proof.STALE: f"{told} has not been run with success since {passed}. Its card says so. The platform tries "
        "again by itself.",
    }
    return {
        "kind": PROOF_KIND,
        "key": f"proof:{one.id}:{found.last.id}:{found.proof}",
        "subject": _SUBJECTS[found.proof].format(name=one.name)[:LONGEST_SUBJECT],
        "text": texts[found.proof],
    }


def of_refusal(one: Shared, why: str) -> dict[str, str]:
    """Return the notice for an author whose notebook the platform cannot run: its key, subject and text."""
    digest = hashlib.sha256(why.encode()).hexdigest()[:16]
    return {
        "kind": PROOF_KIND,
        "key": f"not-run:{one.id}:{one.newest}:{digest}",
        "subject": f"{one.name} is not run"[:LONGEST_SUBJECT],
        "text": f"Version {one.newest} of your notebook {one.name} is not run by the platform. {why} Its page "
        "says so. Publish a version that names what the platform has, or ask an operator for what it needs.",
    }


def of_own(run: Run) -> dict[str, str]:
    """Return the notice for somebody whose own notebook was run: its key, subject and text."""
    assert run.outcome is not None
    said = {
        Outcome.PASSED: "ran from top to bottom",
        Outcome.FAILED: "failed",
        Outcome.REFUSED: "was not run",
        Outcome.LOST: "was not run to its end",
        Outcome.CANCELLED: "was taken back",
    }[run.outcome]
    sentences = [f"Your notebook {run.notebook}, run {run.id}, {said}."]
    if run.outcome is not Outcome.PASSED and run.error:
        sentences.append(how(run))
    if run.result:
        sentences.append(f"With its outputs it is {run.result} in your home.")
    if run.credits is not None:
        sentences.append(f"It cost {format_credits(run.credits, rounding='up')} credits.")
    return {
        "kind": RUN_KIND,
        "key": f"run:{run.id}",
        "subject": f"{run.notebook[-120:]} {said}",
        "text": " ".join(sentences),
    }


def how(run: Run) -> str:
    """Return how a run failed, as a sentence."""
    cell = f"code cell {run.failed_cell}: " if run.failed_cell else ""
    error = run.error or "it is not known why"
    return f"{cell}{error}{'' if error[-1:] in '.!?…' else '.'}"
