"""The configuration of the hubs that these tests start: sign-in as a deployment has it, and little else."""

import os
from pathlib import Path

import httpx
from jupyterhub.spawner import Spawner
from romanhub.local.environments import SetupError
from romanhub.sign_in import oidc
from romanhub.sign_in.local_accounts import LocalAccountsAuthenticator
from romanhub.sign_in.settings import load_sign_in
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler


class Echo(RequestHandler):
    """Answers with the address that was asked for."""

    def get(self) -> None:
        self.write(self.request.path)


class EchoSpawner(Spawner):  # type: ignore[misc]
    """Starts a server in the hub's own process: what is tested here ends where a user's server starts."""

    answering: HTTPServer

    async def start(self) -> tuple[str, int]:
        socket, port = bind_unused_port()
        self.answering = HTTPServer(Application([(".*", Echo)]))
        self.answering.add_socket(socket)
        return "127.0.0.1", port

    async def poll(self) -> int | None:
        return None if hasattr(self, "answering") else 0

    async def stop(self, now: bool = False) -> None:
        self.answering.stop()
        del self.answering


c = get_config()  # type: ignore[name-defined]  # noqa: F821
folder = Path(os.environ["TEST_HUB_FOLDER"])
public, inner, proxy = os.environ["TEST_HUB_PORTS"].split()

c.JupyterHub.db_url = f"sqlite:///{folder / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")
c.JupyterHub.bind_url = f"http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{inner}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy}"
c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")
c.JupyterHub.redirect_to_server = False
c.JupyterHub.allow_named_servers = True
c.JupyterHub.spawner_class = EchoSpawner

try:
    if provider := load_sign_in():
        with httpx.Client(timeout=5) as client:
            oidc.configure(c, provider, oidc.discover(provider, client))
    else:
        c.JupyterHub.authenticator_class = LocalAccountsAuthenticator
        c.LocalAccountsAuthenticator.dbm_path = str(folder / "passwords.dbm")
        c.Authenticator.admin_users = {"admin"}
        c.Authenticator.allow_all = True
except SetupError as error:
    raise SystemExit(str(error)) from None
