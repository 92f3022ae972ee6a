"""The accelerator's part of `tightship.api.parse_pool`: what can be combined, and why not."""

from dataclasses import replace

from tightship.api.accelerator import (
    GPU,
    SHARED_GPU,
    SHARED_SUFFIX,
    SLICE_PREFIX,
    Accelerator,
    Sharing,
    slice_resource,
)
from tightship.api.fields import Fields, SpecError, choice, integer, memory, text
from tightship.api.uris import DNS_SUBDOMAIN

_MEMORY = memory("16Mi", "16Ti")
_RESOURCE = text(
    rf"{DNS_SUBDOMAIN}/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?",
    "an extended resource such as nvidia.com/gpu",
    317,
)
_PROFILE = text(
    r"[12347]g[.][1-9][0-9]{0,2}gb([+]me)?", "a MIG profile such as 1g.10gb or 1g.10gb+me", 16
)
_TEMPLATE = text(DNS_SUBDOMAIN, "the name of a ResourceClaimTemplate", 253)
_COPIES = (Sharing.MPS, Sharing.TIME_SLICING)
_NVIDIA = "nvidia.com/"


def accelerator(value: object, path: str) -> Accelerator:
    """What each server gets, its resource's name filled in.

    Raises:
        SpecError: a field is wrong, or does not go with the mode of sharing.
    """
    fields = Fields(value, path)
    name = fields.optional("resourceName", _RESOURCE, None)
    wanted = Accelerator(
        memory=fields.required("memory", _MEMORY),
        resource_name=name,
        sharing=fields.optional("sharing", choice(Sharing), Sharing.WHOLE),
        profile=fields.optional("profile", _PROFILE, None),
        replicas=fields.optional("replicas", integer(2, 48), None),
        compute_percent=fields.optional("computePercent", integer(1, 100), None),
        claim_template=fields.optional("claimTemplate", _TEMPLATE, None),
    )
    fields.end()
    for wrong in (_fields_of_the_mode(wanted), _amounts(wanted), _resource(wanted)):
        if wrong:
            raise SpecError(f"{path}: {wrong}")
    return _named(wanted)


def _fields_of_the_mode(wanted: Accelerator) -> str | None:
    mode = wanted.sharing
    if (wanted.profile is not None) != (mode is Sharing.MIG):
        return "sharing MIG needs profile, such as 1g.10gb, and no other sharing takes one"
    if (wanted.replicas is not None) != (mode in _COPIES):
        return (
            "sharing MPS and TimeSlicing need replicas, as the node's device plugin is set, and no "
            "other sharing takes them"
        )
    if (wanted.claim_template is not None) != (mode is Sharing.DRA):
        return "sharing DRA needs claimTemplate, and no other sharing takes one"
    if wanted.compute_percent is not None and mode not in (Sharing.MPS, Sharing.HAMI):
        return "computePercent is for sharing MPS and HAMi; nothing holds to it elsewhere"
    return None


def _amounts(wanted: Accelerator) -> str | None:
    if (wanted.compute_percent or 0) * (wanted.replicas or 0) > 100:  # noqa: PLR2004 (percent)
        return "computePercent must be at most 100 divided by replicas: MPS gives a copy no more"
    if wanted.profile is not None and wanted.memory > _slice_bytes(wanted.profile):
        return "memory must be at most that of the profile: 1g.10gb has 10Gi"
    return None


def _resource(wanted: Accelerator) -> str | None:
    name, mode = wanted.resource_name, wanted.sharing
    if name is None:
        return None
    wrong = {
        "resourceName must be absent with sharing DRA: the claim says which device": (
            mode is Sharing.DRA
        ),
        "resourceName must be nvidia.com/gpu or nvidia.com/gpu.shared with this sharing": (
            mode in _COPIES and name not in (GPU, SHARED_GPU)
        ),
        "resourceName must be nvidia.com/gpu with sharing HAMi, or absent": (
            mode is Sharing.HAMI and name != GPU
        ),
        "resourceName must be absent with sharing MIG, or nvidia.com/gpu where the node's MIG "
        "strategy is single": (
            mode is Sharing.MIG and name not in (GPU, slice_resource(wanted.profile))
        ),
        "this resource is a slice: set sharing to MIG and profile to its profile": (
            mode is Sharing.WHOLE and name.startswith(SLICE_PREFIX)
        ),
        "this resource is shared: set sharing to MPS or TimeSlicing, and replicas": (
            mode is Sharing.WHOLE and name.startswith(_NVIDIA) and name.endswith(SHARED_SUFFIX)
        ),
    }
    return next((message for message, found in wrong.items() if found), None)


def _named(wanted: Accelerator) -> Accelerator:
    if wanted.resource_name or wanted.sharing is Sharing.DRA:
        return wanted
    return replace(wanted, resource_name=slice_resource(wanted.profile) or GPU)


def _slice_bytes(profile: str) -> int:
    return int(profile.partition(".")[2].partition("gb")[0]) * 2**30
