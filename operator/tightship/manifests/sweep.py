"""The clean-up of a pool's store: the list of KEYs in use, and the CronJob that reads it."""

from pathlib import PurePosixPath

from tightship.api import job, names
from tightship.api.uris import claim
from tightship.api.v1alpha1 import Resources, ServingPoolSpec
from tightship.manifests import security
from tightship.manifests.objects import (
    Object,
    labels,
    metadata,
    mount,
    placement,
    resources,
    variables,
)
from tightship.manifests.security import TEMPORARY
from tightship.plan.actions import ApplySweep
from tightship.plan.inputs import digest

SWEEP = "sweep"
REMOVALS = 200  # artifacts in one run: what a mistake can cost before somebody sees it
DEADLINE_SECONDS = 1800  # of one run; the next one goes on where it ended

_RESOURCES = Resources(cpu=0.1, memory=512 * 2**20, cpu_limit=1.0)
_KEYS = PurePosixPath(job.SWEEP_KEYS)


def sweep_objects(action: ApplySweep, namespace: str) -> list[Object]:
    """The list before the CronJob, which cannot start a pod without it."""
    labelled = labels(action.pool, SWEEP)
    described = metadata(names.sweep_name(action.pool), namespace, labelled, [action.owner])
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": described,
            "data": {_KEYS.name: "".join(f"{key}\n" for key in action.keys)},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": described,
            "spec": {
                "schedule": f"{_minute(action.pool, namespace)} * * * *",
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": DEADLINE_SECONDS,
                "suspend": False,
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": {
                    "metadata": {"labels": labelled},
                    "spec": {
                        "backoffLimit": 0,
                        "template": {
                            "metadata": {"labels": labelled},
                            "spec": _pod(action.pool, action.spec),
                        },
                    },
                },
            },
        },
    ]


def _minute(pool: str, namespace: str) -> int:
    """Of every hour; pools differ, so that not all clean-ups begin at once."""
    return int(digest([namespace, pool]), 16) % 60


def _pod(pool: str, spec: ServingPoolSpec) -> Object:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "terminationGracePeriodSeconds": 10,
        **placement(spec.server),
        "securityContext": security.pod_security(),
        "containers": [_container(spec)],
        "volumes": _volumes(pool, spec),
    }


def _container(spec: ServingPoolSpec) -> Object:
    """The user that published is the one that may remove."""
    claimed = claim(spec.store.uri)
    return {
        "name": SWEEP,
        "image": spec.converter.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tightship", "job", SWEEP],
        "env": variables({job.REQUEST_VARIABLE: _request(spec).to_json(), "HOME": TEMPORARY}),
        "resources": resources(
            _RESOURCES, disk=security.TEMPORARY_BYTES + security.LOG_BYTES, limit_cpu=True
        ),
        "securityContext": {**security.container_security(), "runAsUser": security.PUBLISHER},
        "terminationMessagePath": job.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            mount("keys", str(_KEYS.parent)),
            mount("tmp-sweep", TEMPORARY, read_only=False),
            *([mount("secret-store-write", f"{job.SECRETS}/store-write")] if _secret(spec) else []),
            *([mount("claim", f"{job.PVC_ROOT}/{claimed}", read_only=False)] if claimed else []),
        ],
    }


def _request(spec: ServingPoolSpec) -> job.SweepRequest:
    if spec.store.retention is None:
        raise ValueError("a pool without store.retention has no clean-up")
    return job.SweepRequest(
        store_uri=spec.store.uri,
        allowed_hosts=spec.converter.allowed_hosts,
        retention=spec.store.retention,
        limit=REMOVALS,
    )


def _volumes(pool: str, spec: ServingPoolSpec) -> list[Object]:
    secret, claimed = _secret(spec), claim(spec.store.uri)
    return [
        {"name": "keys", "configMap": {"name": names.sweep_name(pool)}},
        security.scratch("tmp-sweep", security.TEMPORARY_BYTES),
        *([security.users_secret("secret-store-write", secret)] if secret else []),
        *([security.claim("claim", claimed)] if claimed else []),
    ]


def _secret(spec: ServingPoolSpec) -> str | None:
    return spec.store.write_secret or spec.store.secret
