"""The accelerator of a pool: which device a server gets, how it is shared, what isolates it.

Modes and names are those of the NVIDIA device plugin, GPU feature discovery, HAMi and Kubernetes'
dynamic resource allocation (DRA). Other vendors' devices are whole ones, by their resource name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GPU = "nvidia.com/gpu"
SHARED_SUFFIX = ".shared"  # with renameByDefault the device plugin renames what it shares
SHARED_GPU = f"{GPU}{SHARED_SUFFIX}"
SLICE_PREFIX = "nvidia.com/mig-"


class Sharing(StrEnum):
    """How servers come to a device. A node's settings are never changed: they must be so."""

    WHOLE = "Whole"  # a device for each server
    MIG = "MIG"  # a slice of one profile
    MPS = "MPS"  # one of several copies; NVIDIA's Multi-Process Service bounds memory and threads
    TIME_SLICING = "TimeSlicing"  # one of several copies; nothing is bounded
    DRA = "DRA"  # what a ResourceClaimTemplate asks for
    HAMI = "HAMi"  # a part of a device; HAMi bounds memory and cores inside CUDA's calls


class Isolation(StrEnum):
    """What keeps a server from the others on its device."""

    HARD = "hard"  # memory, compute and faults: no other server is on it, or hardware divides it
    MEMORY = "memory"  # what the others may allocate is bounded, faults and compute are not
    NONE = "none"


_ISOLATION = {
    Sharing.MPS: Isolation.MEMORY,
    Sharing.HAMI: Isolation.MEMORY,
    Sharing.TIME_SLICING: Isolation.NONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What each server of a pool gets.

    `memory` is bytes of device memory that models may use. `resource_name` is the extended resource
    of which a server asks for one; None with DRA.
    """

    memory: int
    resource_name: str | None = GPU
    sharing: Sharing = Sharing.WHOLE
    profile: str | None = None  # MIG: such as 1g.10gb
    replicas: int | None = None  # MPS and time-slicing: copies of a device on its node
    compute_percent: int | None = None  # MPS and HAMi: share of a device's compute
    claim_template: str | None = None  # DRA: name of a ResourceClaimTemplate

    @property
    def isolation(self) -> Isolation:
        """What keeps a server from the others on its device."""
        return _ISOLATION.get(self.sharing, Isolation.HARD)

    def share(self) -> dict[str, str | int]:
        """What the server gets of a device that its resource's name does not tell; often nothing.

        In the notation of JSON: what is measured and served depends on it.
        """
        if self.sharing is Sharing.WHOLE or self.resource_name == slice_resource(self.profile):
            return {}
        found = {
            "sharing": self.sharing.value,
            "profile": self.profile,
            "replicas": self.replicas,
            "computePercent": self.compute_percent,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def named(self) -> str:
        """The device in a word: its resource, or the claim template that asks for it."""
        return self.resource_name or f"resourceclaimtemplates/{self.claim_template}"


def slice_resource(profile: str | None) -> str | None:
    """The resource of a MIG profile under the device plugin's strategy `mixed`."""
    return profile and SLICE_PREFIX + profile.replace("+", ".")
