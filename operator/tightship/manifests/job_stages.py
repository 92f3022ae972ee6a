"""The containers of a Job's pod, and the volumes that they mount."""

from collections.abc import Collection, Iterable, Mapping

from tightship.api import job
from tightship.api.uris import claim
from tightship.api.v1alpha1 import (
    Code,
    Dataset,
    ModelSource,
    OptimizedModelSpec,
    Resources,
    ServingPoolSpec,
)
from tightship.manifests import device, security
from tightship.manifests.objects import Object, mount, resources, variables
from tightship.manifests.security import SHARED_MEMORY, TEMPORARY

_TRANSFER = Resources(cpu=0.1, memory=512 * 2**20, cpu_limit=1.0)
_SOURCES = ("source", "calibration", "evaluation", "trainer", "metric")
_REPOSITORY_IN_WORK = job.MODEL_REPOSITORY.removeprefix(f"{job.WORK}/")


class Stages:
    """Containers of a Job and the volumes that they mount."""

    def __init__(
        self,
        spec: OptimizedModelSpec,
        pool: ServingPoolSpec,
        request: job.JobRequest | job.EvaluateRequest,
        sources: Collection[str] = _SOURCES,
    ) -> None:
        self._pool = pool
        self._request = request
        write = pool.store.write_secret or pool.store.secret
        named: dict[str, ModelSource | Dataset | Code | None] = {
            "source": spec.model,
            "calibration": spec.calibration,
            "evaluation": spec.evaluation,
            "trainer": spec.optimization.trainer,
            "metric": spec.own_metric,
        }
        found = {use: each for use, each in named.items() if each and use in sources}
        secrets = {use: each.secret for use, each in found.items()}
        secrets |= {"store": pool.store.secret, "store-write": write}
        self._secrets = {use: secret for use, secret in secrets.items() if secret}
        self._inputs = [each.storage_uri for each in found.values()]

    def fetch(self, name: str = "fetch", *, with_store: bool) -> Object:
        """Downloads with the credentials of the sources; `with_store` also from the store.

        The store's Secret is there in any case: it names the store's host, which sources may be on
        without being listed.
        """
        uses = [use for use in self._secrets if use != "store-write"]
        uris = [*self._inputs, *([self._pool.store.uri] if with_store else [])]
        return self._stage(name, _TRANSFER, [*self._secret_mounts(uses), *_claim_mounts(uris)])

    def inspect(self) -> Object:
        """Looks at the files without any credential."""
        return self._stage("inspect", self._pool.converter.resources, [])

    def convert(self) -> Object:
        """All optimizing stages, without any credential."""
        return self._stage("convert", self._pool.converter.resources, [])

    def evaluate(self) -> Object:
        """Runs what was published, without any credential."""
        return self._stage("evaluate", self._pool.converter.resources, [])

    def publish(self) -> Object:
        """Uploads. Another user than Triton's, so that no process of the pod can look into it."""
        mounts = [
            *self._secret_mounts(["store-write"]),
            *_claim_mounts([self._pool.store.uri], read_only=False),
        ]
        stage = self._stage("publish", _TRANSFER, mounts, work_read_only=True)
        stage["securityContext"]["runAsUser"] = security.PUBLISHER
        return stage

    def triton(self) -> Object:
        """The pool's own server as a native sidecar, so that what is measured is what is served.

        It has no probe: it listens on the loopback address, which the kubelet cannot reach, and the
        converter waits for it. Of the work volume it sees the model repository alone, which the
        kubelet makes where it is missing: Triton ends at once without one.
        """
        pool, wanted = self._pool, self._pool.accelerator
        shared = [] if device.brings_shared_memory(wanted) else [_shared_memory()]
        return {
            "name": "triton",
            "image": pool.server.image,
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "command": ["tritonserver"],
            "args": security.converter_flags(pool, job.MODEL_REPOSITORY),
            **_environment(device.environment(wanted)),
            "resources": resources(
                pool.server.resources,
                disk=security.TEMPORARY_BYTES + security.LOG_BYTES,
                extended=device.requests(wanted),
            )
            | device.claims(wanted),
            "securityContext": security.container_security(),
            "volumeMounts": [
                {**mount("work", job.MODEL_REPOSITORY), "subPath": _REPOSITORY_IN_WORK},
                mount("tmp-triton", TEMPORARY, read_only=False),
                *shared,
            ],
        }

    def volumes(self, stages: Iterable[str], *, with_store: bool, publishes: bool) -> list[Object]:
        """Every volume that the stages mount."""
        uses = [use for use in self._secrets if publishes or use != "store-write"]
        uris = [*self._inputs, *([self._pool.store.uri] if with_store else [])]
        memory = self._pool.server.resources.memory
        own = publishes and not device.brings_shared_memory(self._pool.accelerator)
        shared = security.shared_memory("shared-memory", memory) if own else None
        return [
            security.scratch("work", self._pool.converter.scratch_bytes),
            *(security.scratch(f"tmp-{stage}", security.TEMPORARY_BYTES) for stage in stages),
            *([shared] if shared else []),
            *(security.users_secret(f"secret-{use}", self._secrets[use]) for use in uses),
            *(security.claim(f"claim-{name}", name) for name in _claims(uris)),
        ]

    def _stage(
        self,
        name: str,
        wanted: Resources,
        mounts: list[Object],
        *,
        work_read_only: bool = False,
    ) -> Object:
        scratch = self._pool.converter.scratch_bytes
        disk = scratch + security.TEMPORARY_BYTES + security.LOG_BYTES
        return {
            "name": name,
            "image": self._pool.converter.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["tightship", "job", name],
            "env": variables({job.REQUEST_VARIABLE: self._request.to_json(), "HOME": TEMPORARY}),
            "resources": resources(wanted, disk=disk, limit_cpu=True),
            "securityContext": security.container_security(),
            "terminationMessagePath": job.TERMINATION_LOG,
            "terminationMessagePolicy": "File",
            "volumeMounts": [
                mount("work", job.WORK, read_only=work_read_only),
                mount(f"tmp-{name}", TEMPORARY, read_only=False),
                *mounts,
            ],
        }

    def _secret_mounts(self, uses: Iterable[str]) -> list[Object]:
        return [
            mount(f"secret-{use}", f"{job.SECRETS}/{use}") for use in uses if use in self._secrets
        ]


def _environment(limits: Mapping[str, str]) -> Object:
    """The field `env`; the API server drops an empty one."""
    return {"env": variables(limits)} if limits else {}


def _shared_memory() -> Object:
    return mount("shared-memory", SHARED_MEMORY, read_only=False)


def _claims(uris: Iterable[str]) -> list[str]:
    return sorted({name for uri in uris if (name := claim(uri))})


def _claim_mounts(uris: Iterable[str], *, read_only: bool = True) -> list[Object]:
    return [
        mount(f"claim-{name}", f"{job.PVC_ROOT}/{name}", read_only=read_only)
        for name in _claims(uris)
    ]
