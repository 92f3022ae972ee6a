"""Width reduction: the original with fewer channels and fresh weights, taught by the original."""

from tightship.optimize.training.channels import apply_width as apply
from tightship.optimize.training.channels import propose_width as propose

__all__ = ["apply", "propose"]
