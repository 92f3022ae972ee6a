"""Accelerators of pools as users write them: one of each mode, and what no node has."""

from tests.support import documents
from tests.support.documents import Document

TAKEN: dict[str, Document] = {
    "whole": {"memory": "22Gi"},
    "whole-amd": {"resourceName": "amd.com/gpu", "memory": "180Gi"},
    "mig": {"sharing": "MIG", "profile": "1g.10gb+me", "memory": "9.5Gi"},
    "mig-single": {
        "sharing": "MIG",
        "profile": "3g.40gb",
        "resourceName": "nvidia.com/gpu",
        "memory": "40Gi",
    },
    "mps": {"sharing": "MPS", "replicas": 4, "computePercent": 20, "memory": "5Gi"},
    "time-slicing": {
        "sharing": "TimeSlicing",
        "replicas": 2,
        "resourceName": "nvidia.com/gpu.shared",
        "memory": "10Gi",
    },
    "dra": {"sharing": "DRA", "claimTemplate": "one-gpu", "memory": "22Gi"},
    "hami": {"sharing": "HAMi", "computePercent": 30, "memory": "3Gi"},
}

_MIG: Document = {"sharing": "MIG", "profile": "1g.10gb", "memory": "8Gi"}
_MPS: Document = {"sharing": "MPS", "replicas": 4, "memory": "4Gi"}
_DRA: Document = {"sharing": "DRA", "claimTemplate": "one-gpu", "memory": "4Gi"}
_HAMI: Document = {"sharing": "HAMi", "memory": "4Gi"}
_WHOLE: Document = {"memory": "4Gi"}

REFUSED: dict[str, tuple[Document, str]] = {
    "without memory": ({"sharing": "Whole"}, "memory"),
    "unknown mode": ({**_WHOLE, "sharing": "Exclusive"}, "Whole"),
    "mig without a profile": ({"sharing": "MIG", "memory": "8Gi"}, "MIG needs profile"),
    "profile without mig": ({**_MPS, "profile": "1g.10gb"}, "MIG needs profile"),
    "a profile that no device has": ({**_MIG, "profile": "5g.10gb"}, "must be a MIG profile"),
    "more than the slice": ({**_MIG, "memory": "10241Mi"}, "at most that of the profile"),
    "another slice's resource": (
        {**_MIG, "resourceName": "nvidia.com/mig-2g.20gb"},
        "must be absent with sharing MIG",
    ),
    "a slice as a whole device": (
        {**_WHOLE, "resourceName": "nvidia.com/mig-1g.10gb"},
        "is a slice",
    ),
    "a copy as a whole device": ({**_WHOLE, "resourceName": "nvidia.com/gpu.shared"}, "is shared"),
    "mps without replicas": ({"sharing": "MPS", "memory": "4Gi"}, "need replicas"),
    "one replica": ({**_MPS, "replicas": 1}, "replicas"),
    "replicas of a whole device": ({**_WHOLE, "replicas": 2}, "need replicas"),
    "mps of a slice": (
        {**_MPS, "resourceName": "nvidia.com/mig-1g.10gb"},
        "must be nvidia.com/gpu or nvidia.com/gpu.shared",
    ),
    "mps of another vendor": (
        {**_MPS, "resourceName": "amd.com/gpu"},
        "must be nvidia.com/gpu or nvidia.com/gpu.shared",
    ),
    "more compute than mps gives": ({**_MPS, "computePercent": 26}, "100 divided by replicas"),
    "no compute": ({**_MPS, "computePercent": 0}, "computePercent"),
    "compute of a time slice": (
        {**_MPS, "sharing": "TimeSlicing", "computePercent": 20},
        "computePercent is for sharing MPS and HAMi",
    ),
    "dra without a claim": ({"sharing": "DRA", "memory": "4Gi"}, "needs claimTemplate"),
    "a claim without dra": ({**_HAMI, "claimTemplate": "one-gpu"}, "needs claimTemplate"),
    "a claim's name in capitals": ({**_DRA, "claimTemplate": "One"}, "a ResourceClaimTemplate"),
    "dra with a resource": (
        {**_DRA, "resourceName": "nvidia.com/gpu"},
        "must be absent with sharing DRA",
    ),
    "hami of another vendor": (
        {**_HAMI, "resourceName": "amd.com/gpu"},
        "must be nvidia.com/gpu with sharing HAMi",
    ),
}


def pool(accelerator: Document) -> Document:
    """A pool with this accelerator and with what every pool needs."""
    return {**documents.MINIMAL_POOL, "accelerator": accelerator}
