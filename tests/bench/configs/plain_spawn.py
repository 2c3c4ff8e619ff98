"""The plain hub with upstream's spawner for people who need not exist on the system, in the Roman environment."""

import os

from tests.bench.hubs import PLAIN
from tests.bench.instant import look_every

c = get_config()  # noqa: F821
load_subconfig(str(PLAIN))  # noqa: F821

c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
# As with our form, a sign-in starts nothing by itself.
c.JupyterHub.redirect_to_server = False
c.SimpleLocalProcessSpawner.home_dir_template = f"{os.environ['ROMANHUB_STATE']}/homes/{{username}}"
c.Spawner.cmd = [os.environ["BENCH_SERVER"]]
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]
# Upstream's default has the hub's PYTHONPATH in it, which is set for this benchmark alone.
c.Spawner.env_keep = ["PATH", "LANG", "LC_ALL"]
look_every(os.environ.get("BENCH_LOOK"))
