"""A plain hub with jupyterhub-credit-service: everybody has plenty, and one person the price of one start."""

import os
from pathlib import Path

from jupyterhub.auth import DummyAuthenticator
from jupyterhub_credit_service import CreditsAuthenticator, CreditsSpawner

from tests.bench.instant import CONFIGS, PASSED, InstantSpawner, TimedHook

c = get_config()  # noqa: F821
load_subconfig(str(CONFIGS / "admission.py"))  # noqa: F821


class Authenticator(CreditsAuthenticator, DummyAuthenticator):
    """Anybody, with credits."""


class Spawner(TimedHook, CreditsSpawner, InstantSpawner):
    """Servers that cost nothing to start and ten credits in every ten minutes, upstream's default."""


def credits_of(_authenticator, name, *_):
    """What each person has."""
    cap = 10 if name == "poor" else 1_000_000
    return {"name": "default", "cap": cap, "grant_value": 1, "grant_interval": 86_400}


def passed():
    """Show that the minute's pass has been made."""
    Path(os.environ["ROMANHUB_STATE"], PASSED).touch()


c.JupyterHub.authenticator_class = Authenticator
c.CreditsAuthenticator.credits_task_post_hook = passed
c.CreditsAuthenticator.credits_user = credits_of
c.JupyterHub.spawner_class = Spawner
