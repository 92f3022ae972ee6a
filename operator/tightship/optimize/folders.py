"""Where a Job's stages read and write, below the pod's root or any other folder."""

from dataclasses import dataclass
from pathlib import Path

from tightship.api import job


@dataclass(frozen=True, slots=True)
class Folders:
    """The fixed layout of `tightship.api.job` below another root."""

    root: Path = Path("/")
    repository: Path | None = None  # of a Triton elsewhere

    def _below(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    @property
    def source(self) -> Path:
        """What the source's address named."""
        return self._below(job.SOURCE)

    @property
    def calibration(self) -> Path:
        """The calibration file; not there when none is asked for."""
        return self._below(job.CALIBRATION)

    @property
    def evaluation(self) -> Path:
        """The evaluation file; not there when none is asked for."""
        return self._below(job.EVALUATION)

    @property
    def trainer(self) -> Path:
        """Folder of the user's trainer; not there when none is asked for."""
        return self._below(job.TRAINER)

    @property
    def metric(self) -> Path:
        """Folder of the user's own metric; not there when none is asked for."""
        return self._below(job.METRIC)

    @property
    def artifact(self) -> Path:
        """What publish uploads."""
        return self._below(job.ARTIFACT)

    @property
    def done(self) -> Path:
        """The summary that ends the Job early."""
        return self._below(job.DONE)

    @property
    def reclaim(self) -> Path:
        """There when publish has to take an unused artifact back from the clean-up."""
        return self._below(job.WORK) / "reclaim"

    @property
    def keys(self) -> Path:
        """The list of KEYs in use of a clean-up."""
        return self._below(job.SWEEP_KEYS)

    @property
    def models(self) -> Path:
        """Model repository of the Triton beside."""
        return self.repository or self._below(job.MODEL_REPOSITORY)

    @property
    def fetched(self) -> Path:
        """What fetch found: digests and sizes."""
        return self._below(job.WORK) / "fetched.json"

    @property
    def summary(self) -> Path:
        """What convert hands to publish."""
        return self._below(job.WORK) / "summary.json"

    @property
    def work(self) -> Path:
        """The scratch volume that all stages share."""
        return self._below(job.WORK)

    @property
    def scratch(self) -> Path:
        """Working folders of the stages."""
        return self._below(job.WORK) / "scratch"

    @property
    def secrets(self) -> Path:
        """Mounted Secrets."""
        return self._below(job.SECRETS)

    @property
    def claims(self) -> Path:
        """Mounted volumes of pvc:// addresses."""
        return self._below(job.PVC_ROOT)

    @property
    def termination_log(self) -> Path:
        """What the kubelet reads at the end."""
        return self._below(job.TERMINATION_LOG)
