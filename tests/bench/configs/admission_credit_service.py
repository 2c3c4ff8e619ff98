"""A plain hub with jupyterhub-credit-service: everybody has plenty, and one person the price of one start."""

from jupyterhub.auth import DummyAuthenticator
from jupyterhub_credit_service import CreditsAuthenticator, CreditsSpawner

from tests.bench.instant import CONFIGS, InstantSpawner, TimedHook

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


c.JupyterHub.authenticator_class = Authenticator
c.CreditsAuthenticator.credits_user = credits_of
c.JupyterHub.spawner_class = Spawner
