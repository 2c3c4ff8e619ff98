"""A plain hub, which admits everybody."""

from tests.bench.instant import CONFIGS

c = get_config()  # noqa: F821
load_subconfig(str(CONFIGS / "admission.py"))  # noqa: F821

c.JupyterHub.spawner_class = "tests.bench.instant.InstantSpawner"
