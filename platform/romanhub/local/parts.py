"""The parts of the platform on one machine: what each runs, and how it finds the others."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from romanhub.local.analysis import is_placed
from romanhub.local.certificates import ensure_certificate
from romanhub.local.layout import deployment
from romanhub.local.node_packages import proxy_command, viewer_file
from romanhub.local.ports import HOST
from romanhub.local.settings import BUCKET, COMMUNITY_BUCKET, REGION, SCRATCH_BUCKET, Settings
from romanhub.local.supervisor import Part

#: The order in which the parts end: those that hold users' work first, then those that they lean on.
STOP_ORDER = (
    "runner",
    "hub",
    "watch",
    "gateway",
    "portal",
    "search",
    "broker",
    "gateway-proxy",
    "proxy",
    "archive",
)

#: The role that short-lived keys have on the local server.
ROLE = "arn:aws:iam::000000000000:role/romanhub-data"

#: What that role may do; on AWS, its policy needs the same.
ROLE_ACTIONS = [
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
]


def _command(name: str) -> str:
    """A command of the environment that this process runs in."""
    return str(Path(sys.executable).parent / name)


def proxy(settings: Settings) -> Part:
    """The public address; it outlives the hub, so that open notebooks stay connected."""
    ports = settings.ports
    return Part(
        name="proxy",
        command=[
            *proxy_command(settings.state),
            *("--ip", HOST, "--port", str(ports.public)),
            *("--api-ip", HOST, "--api-port", str(ports.proxy_api)),
            *("--error-target", f"http://{HOST}:{ports.hub}/hub/error"),
        ],
        environment={"CONFIGPROXY_AUTH_TOKEN": settings.secrets.proxy},
        ready=f"http://{HOST}:{ports.proxy_api}/api/routes",
    )


def hub(settings: Settings) -> Part:
    """JupyterHub, with the configuration of `hub_config/`."""
    return Part(
        name="hub",
        command=[_command("jupyterhub"), "--config", str(deployment() / "hub_config/jupyterhub_config.py")],
        environment=_state(settings),
        ready=f"{settings.hub_api}/",
    )


def watch(settings: Settings) -> Part:
    """Compares the ledger with what runs, and stops what is idle or has run for too long."""
    return Part(
        name="watch",
        command=[_command("hubquota"), "watch"],
        environment={
            **_ledger(settings),
            **({} if settings.notices_file is None else {"HUBQUOTA_NOTICES": str(settings.notices_file)}),
            **_purge(settings),
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.watch,
        },
    )


def runner(settings: Settings) -> Part:
    """Runs notebooks without a person; a part of its own, because it alone may start servers."""
    return Part(
        name="runner",
        command=[sys.executable, "-m", "romanhub.community.proof"],
        environment={
            **_ledger(settings),
            **_runs(settings),
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.runner,
            "ROMANHUB_IMAGE": settings.image,
            "ROMANHUB_IMAGES": ",".join(name for name, one in settings.images.items() if is_placed(one)),
            "ROMANHUB_COMMUNITY_DATABASE_URL": settings.community_url,
        },
    )


def portal(settings: Settings) -> Part:
    """The pages of users and administrators, and what a notebook asks the platform."""
    ports = settings.ports
    limits = (f"ROMANHUB_COMMUNITY_{name}" for name in ("PRODUCT_BYTES", "PRODUCT_FILES", "PERSON_BYTES"))
    return Part(
        name="portal",
        command=[sys.executable, "-m", "romanhub.portal", "--port", str(ports.portal)],
        environment={
            **_ledger(settings),
            **_purge(settings),
            **_runs(settings),
            "JUPYTERHUB_SERVICE_NAME": "portal",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/portal/",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.portal,
            "JUPYTERHUB_CLIENT_ID": "service-portal",
            "ROMANHUB_SEARCH_URL": f"{settings.url}/services/archive/",
            "ROMANHUB_BROKER_URL": f"{settings.url}/services/broker/",
            "ROMANHUB_SKY_VIEWER": str(viewer_file(settings.state)),
            "ROMANHUB_COMMUNITY_DATABASE_URL": settings.community_url,
            "ROMANHUB_COMMUNITY_BUCKET": COMMUNITY_BUCKET,
            "ROMANHUB_COMMUNITY_ENDPOINT": settings.archive_endpoint,
            "ROMANHUB_COMMUNITY_REGION": REGION,
            "ROMANHUB_COMMUNITY_ACCESS_KEY": "community",
            "ROMANHUB_COMMUNITY_SECRET_KEY": settings.secrets.archive_community,
            **{name: os.environ[name] for name in limits if name in os.environ},
        },
        ready=f"http://{HOST}:{ports.portal}/services/portal/api/health",
    )


def broker(settings: Settings) -> Part:
    """Short-lived keys for the storage; a part of its own, because it alone holds the key that assumes roles."""
    port = settings.ports.broker
    return Part(
        name="broker",
        command=[sys.executable, "-m", "romanhub.broker", "--port", str(port)],
        environment={
            **_ledger(settings),
            **_purge(settings),
            "JUPYTERHUB_SERVICE_NAME": "broker",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/broker/",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.broker,
            "ROMANHUB_DATASETS": str(settings.datasets_file),
            "ROMANHUB_STORAGE_ENDPOINT": settings.archive_endpoint,
            "ROMANHUB_STORAGE_REGION": REGION,
            "ROMANHUB_SCRATCH_BUCKET": SCRATCH_BUCKET,
            "ROMANHUB_BROKER_ROLE": ROLE,
            "ROMANHUB_BROKER_ACCESS_KEY": "broker",
            "ROMANHUB_BROKER_SECRET_KEY": settings.secrets.archive_broker,
            "ROMANHUB_COMMUNITY_DATABASE_URL": settings.community_url,
            "ROMANHUB_COMMUNITY_BUCKET": COMMUNITY_BUCKET,
            "ROMANHUB_COMMUNITY_REGION": REGION,
            **({"ROMANHUB_BROKER_SECONDS": given} if (given := os.environ.get("ROMANHUB_BROKER_SECONDS")) else {}),
        },
        ready=f"http://{HOST}:{port}/services/broker/api/health",
    )


def search(settings: Settings) -> Part:
    """Searches of the archive: TAP, SIA, cone search and JSON. It reads the index alone."""
    port = settings.ports.search
    given = {name: value for name, value in os.environ.items() if name.startswith("ROMANHUB_SEARCH_")}
    return Part(
        name="search",
        command=[sys.executable, "-m", "romanhub.discovery", "--port", str(port)],
        environment={
            **given,
            "JUPYTERHUB_SERVICE_NAME": "archive",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/archive/",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.search,
            "ROMANHUB_DATASETS": str(settings.datasets_file),
            "ROMANHUB_SEARCH_URL": settings.search_url,
            "ROMANHUB_SEARCH_FOLDER": str(settings.index),
            "ROMANHUB_SEARCH_JOBS": str(settings.state.private / "searches"),
        },
        ready=f"http://{HOST}:{port}/services/archive/api/health",
    )


def gateway(settings: Settings) -> Part:
    """Dask Gateway, with the configuration of `hub_config/`."""
    config = deployment() / "hub_config/dask_gateway_config.py"
    return Part(
        name="gateway",
        command=[_command("dask-gateway-server"), "--config", str(config)],
        environment={
            **_state(settings),
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.secrets.gateway,
            "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
            "DASK_GATEWAY_PROXY_TOKEN": settings.secrets.gateway_proxy,
        },
        ready=f"http://{HOST}:{settings.ports.gateway}/api/health",
    )


def gateway_proxy(settings: Settings) -> Part:
    """Dask Gateway's proxy; a part of its own, so that clusters stay reachable while the gateway restarts."""
    config = deployment() / "hub_config/dask_gateway_config.py"
    return Part(
        name="gateway-proxy",
        command=[_command("dask-gateway-server"), "proxy", "--config", str(config)],
        environment={**_state(settings), "DASK_GATEWAY_PROXY_TOKEN": settings.secrets.gateway_proxy},
    )


def archive(settings: Settings) -> Part:
    """SeaweedFS, which speaks S3: the local stand-in for the archive's buckets in the cloud."""
    ports, state = settings.ports, settings.state
    return Part(
        name="archive",
        command=[
            _command("weed"),
            *(
                "server",
                "-disableHttp",
                "-filer",
                "-s3",
                f"-dir={state.archive}",
                f"-ip={HOST}",
                f"-ip.bind={HOST}",
            ),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=1024"),
            # Each bucket takes seven volumes at once, which are files that grow as they are written to. Left to
            # itself, the server allows one for each free GiB: on a fuller disk a new bucket takes nothing in.
            *("-volume.max=10000", "-volume.minFreeSpace=1GiB"),
            "-volume.preStopSeconds=0",
            *(f"-master.port={ports.archive_master}", f"-master.port.grpc={ports.archive_master_grpc}"),
            *(f"-volume.port={ports.archive_volume}", f"-volume.port.grpc={ports.archive_volume_grpc}"),
            *(f"-filer.port={ports.archive_filer}", f"-filer.port.grpc={ports.archive_filer_grpc}"),
            *(f"-s3.port={ports.archive}", f"-s3.port.grpc={ports.archive_grpc}"),
            f"-filer.localSocket={state.private / 'filer.sock'}",
            f"-s3.localSocket={state.private / 's3.sock'}",
            *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={write_identities(settings)}"),
            f"-s3.iam.config={write_roles(settings)}",
        ],
        # The S3 server is the one way in. Without these keys and certificates, and with the master's own HTTP,
        # anybody on the machine could read and delete past it.
        environment={
            **_mutual_tls(settings),
            "WEED_JWT_SIGNING_KEY": settings.secrets.archive_internal,
            "WEED_JWT_SIGNING_READ_KEY": settings.secrets.archive_internal,
            "WEED_JWT_FILER_SIGNING_KEY": settings.secrets.archive_internal,
            "WEED_JWT_FILER_SIGNING_READ_KEY": settings.secrets.archive_internal,
        },
        ready=f"{settings.archive_endpoint}/",
        # It waits 15 seconds for its own parts' connections. All that it has accepted is written by then.
        patience=3.0,
    )


def _mutual_tls(settings: Settings) -> dict[str, str]:
    """Have the archive server's parts speak to nobody but each other."""
    certificate = settings.state.private / "archive.pem"
    key = settings.state.private / "archive.key"
    ensure_certificate(certificate, key)
    environment = {"WEED_GRPC_CA": str(certificate)}
    for part in ("MASTER", "VOLUME", "FILER", "S3", "CLIENT"):
        environment |= {f"WEED_GRPC_{part}_CERT": str(certificate), f"WEED_GRPC_{part}_KEY": str(key)}
    return environment


def write_identities(settings: Settings) -> Path:
    """Write who has a key that lasts, as the server reads it; returns the file. No notebook ever sees one."""
    identities = {
        "identities": [
            _identity("operator", settings.secrets.archive_operator, ["Admin", "Read", "Write", "List"]),
            # It may do nothing itself: only assume the role.
            _identity("broker", settings.secrets.archive_broker, []),
            # The portal's: what the community publishes, and nothing else.
            _identity(
                "community",
                settings.secrets.archive_community,
                [f"{what}:{COMMUNITY_BUCKET}" for what in ("Read", "Write", "List")],
            ),
        ]
    }
    return _write_private(settings.state.private / "archive.json", identities)


def write_roles(settings: Settings) -> Path:
    """Write the role that short-lived keys have, and who may assume it; returns the file.

    The role may do what any session policy of the broker's says; each key has such a policy, which narrows it.
    """
    published = [f"arn:aws:s3:::{COMMUNITY_BUCKET}", f"arn:aws:s3:::{COMMUNITY_BUCKET}/products/*"]
    everywhere = [f"arn:aws:s3:::{bucket}{end}" for bucket in (BUCKET, SCRATCH_BUCKET) for end in ("", "/*")]
    roles = {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "1h",
            "issuer": "romanhub",
            "signingKey": settings.secrets.archive_signing,
        },
        "roles": [
            {
                "roleName": ROLE.rpartition("/")[2],
                "roleArn": ROLE,
                "trustPolicy": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"AWS": [f"{ROLE.partition(':role/')[0]}:user/broker"]},
                            "Action": ["sts:AssumeRole"],
                        }
                    ],
                },
                "attachedPolicies": ["storage"],
            }
        ],
        "policies": [
            {
                "name": "storage",
                "document": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Allow", "Action": ROLE_ACTIONS, "Resource": everywhere},
                        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": published},
                    ],
                },
            }
        ],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "providers": [],
    }
    return _write_private(settings.state.private / "archive-roles.json", roles)


def _write_private(path: Path, content: object) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
    return path


def _identity(name: str, secret: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": secret}], "actions": actions}


def _state(settings: Settings) -> dict[str, str]:
    return {"ROMANHUB_STATE": str(settings.state.root)}


def _ledger(settings: Settings) -> dict[str, str]:
    return {"HUBQUOTA_DATABASE_URL": settings.ledger_url, "HUBQUOTA_TIERS": str(settings.tiers_file)}


def _runs(settings: Settings) -> dict[str, str]:
    return {} if settings.runs_file is None else {"ROMANHUB_RUNS": str(settings.runs_file)}


def _purge(settings: Settings) -> dict[str, str]:
    return {} if settings.purge_file is None else {"HUBQUOTA_PURGE": str(settings.purge_file)}
