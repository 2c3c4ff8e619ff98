"""JupyterHub's configuration on one machine: what is where. What happens is in `platform/` and `quota/`."""

from hubquota.hub import template_paths
from romanhub.local.analysis import identity
from romanhub.local.aws import storage_environment
from romanhub.local.environments import SetupError
from romanhub.local.ports import HOST
from romanhub.local.settings import ADMIN, Settings
from romanhub.local.spawner import LocalServerSpawner
from romanhub.local.sqlite import write_ahead
from romanhub.models.runs import COMMUNITY_ROBOT
from romanhub.portal.scopes import CUSTOM_SCOPES
from romanhub.probe.robot import ROBOT
from romanhub.services.hubservices import ROLES, services
from romanhub.sign_in.accounts import LocalAccounts
from romanhub.sign_in.settings import load_sign_in

c = get_config()  # noqa: F821
settings = Settings.load()
ports, kept = settings.ports, settings.secrets

# The hub and its proxy. The proxy is a part of its own: it and the users' servers outlive the hub.
write_ahead()
c.JupyterHub.db_url = f"sqlite:///{settings.state.private / 'hub.sqlite'}"
c.JupyterHub.cookie_secret = bytes.fromhex(kept.cookie)
c.JupyterHub.bind_url = settings.url
c.JupyterHub.hub_bind_url = f"http://{HOST}:{ports.hub}"
c.JupyterHub.cleanup_proxy = False
# How often, in seconds, the hub compares its routes with the proxy's: one that was killed has none.
c.JupyterHub.last_activity_interval = 15
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://{HOST}:{ports.proxy_api}"
c.ConfigurableHTTPProxy.auth_token = kept.proxy

# What the hub's pages are told.
template_vars = {"own_named_servers": False}

# Sign-in: an institution's provider where one is configured, else accounts of this machine.
if provider := load_sign_in():
    c.CryptKeeper.keys = [kept.sign_in]
    # Imported here: a hub with accounts of its own starts faster without it.
    from romanhub.sign_in.institution_accounts import configure

    try:
        configure(c, provider)
    except SetupError as error:
        raise SystemExit(str(error)) from None
else:
    c.JupyterHub.authenticator_class = LocalAccounts
    c.LocalAccounts.dbm_path = str(settings.passwords)
    c.Authenticator.admin_users = {ADMIN}
    c.Authenticator.allow_all = True
    # So that the end of a server says who stopped it. An institution's provider is not asked for that.
    c.Authenticator.refresh_pre_stop = True
    template_vars["announcement_login"] = (
        "Here for the first time? Choose a user name and a password of 10 characters or more: the password that "
        "you sign in with first becomes yours."
    )

# Their accounts have no person.
c.Authenticator.quota_programs = {ROBOT, COMMUNITY_ROBOT}

# Servers with names are those that run a notebook without a person; the spawner refuses any other.
c.JupyterHub.allow_named_servers = True

c.JupyterHub.template_vars = template_vars

# The hub's home page says what is about to be stopped, and why the last server was.
c.JupyterHub.template_paths = template_paths

# Users' servers: in the Roman environment, within their tier.
c.JupyterHub.spawner_class = LocalServerSpawner
c.LocalServerSpawner.homes = str(settings.state.homes)
c.LocalServerSpawner.welcome = str(settings.welcome)
c.LocalServerSpawner.fresh_for = COMMUNITY_ROBOT
c.LocalServerSpawner.images = {name: str(one.path) for name, one in settings.images.items()}
c.Spawner.quota_tiers_file = str(settings.tiers_file)
c.Spawner.quota_database_url = settings.ledger_url
c.Spawner.cmd = [str(settings.roman.bin / "jupyterhub-singleuser")]
c.Spawner.quota_clean_up_python = str(settings.roman.bin / "python")
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120
c.Spawner.env_keep = ["LANG", "LC_ALL", "TZ"]
environment = identity(settings.roman)
c.Spawner.environment = {
    # What is shared from a server says what it ran in.
    "JUPYTER_IMAGE_SPEC": settings.image,
    "PATH": f"{settings.roman.bin}:/usr/local/bin:/usr/bin:/bin",
    "ROMANHUB_PORTAL_URL": f"{settings.url}/services/portal/",
    "ROMANHUB_SEARCH_URL": settings.search_url,
    **storage_environment(settings.state.aws_config, f"{settings.url}/services/broker/"),
    "DASK_GATEWAY__ADDRESS": f"{settings.url}/services/dask-gateway/",
    "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{HOST}:{ports.gateway_scheduler}",
    "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
    # Dask workers are of the same environment as the notebook; what any client of the gateway sends proves it.
    "ROMANHUB_ENVIRONMENT": environment,
    "DASK_GATEWAY__CLUSTER__OPTIONS__ENVIRONMENT": environment,
    # The Dask panel of Lab: what its New button makes, where dashboards are, and how a notebook connects to both.
    "DASK_LABEXTENSION__FACTORY__MODULE": "romanhub.client.panel",
    "DASK_LABEXTENSION__FACTORY__CLASS": "DaskCluster",
    "DASK_DISTRIBUTED__CLIENT__SECURITY_LOADER": "romanhub.client.panel.security_for",
    "ROMANHUB_CLUSTERS": str(settings.state.clusters),
}

# Services, each with what it may do and no more.
c.JupyterHub.services = services(
    {
        "portal": f"http://{HOST}:{ports.portal}",
        "dask-gateway": f"http://{HOST}:{ports.gateway_web}",
        "broker": f"http://{HOST}:{ports.broker}",
        "archive": f"http://{HOST}:{ports.search}",
    },
    {
        "portal": kept.portal,
        "dask-gateway": kept.gateway,
        "broker": kept.broker,
        "archive": kept.search,
        "watch": kept.watch,
        "probe": kept.probe,
        "runner": kept.runner,
    },
)
# What an auditor or a script may do with allocations is given by a role with one of these.
c.JupyterHub.custom_scopes = CUSTOM_SCOPES
c.JupyterHub.load_roles = ROLES
