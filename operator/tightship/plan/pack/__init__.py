"""Packing: many models onto few devices, inside their latency objectives. numpy alone."""

from tightship.plan.pack.change import Change, Move, replan
from tightship.plan.pack.demand import Device, DeviceType, Fleet, Model
from tightship.plan.pack.feasibility import Execution
from tightship.plan.pack.full import pack
from tightship.plan.pack.plan import Bound, Plan, Reason, Setting, Wait
from tightship.plan.pack.profile import Profile, profile

__all__ = [
    "Bound",
    "Change",
    "Device",
    "DeviceType",
    "Execution",
    "Fleet",
    "Model",
    "Move",
    "Plan",
    "Profile",
    "Reason",
    "Setting",
    "Wait",
    "pack",
    "profile",
    "replan",
]
