"""Every reason of a failed Job or load: cause, remedy, and whether it is tried again.

The plan's own reasons are in `tightship.api.conditions`. docs/reference/reasons.md is made of both,
and tests hold these tables and what the code raises equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Meaning(NamedTuple):
    """What a user reads of a reason."""

    cause: str
    remedy: str
    again: str = "no"  # whether the same inputs are tried again


JOB_FAILURES: Mapping[str, Meaning] = {
    "AccessDenied": Meaning(
        "the server or the store answers 401 or 403, does not know the keys, or a file of a volume "
        "may not be read by the pod's user",
        "the keys or the token in the Secret, and what they may read",
    ),
    "ArchiveBroken": Meaning(
        "an archive is truncated, damaged, empty or of another kind", "pack and upload it again"
    ),
    "ArchiveTooLarge": Meaning(
        "an archive unpacks to more than maxSourceSize or to more than 20 times its size, or has "
        "too many members",
        "store the model unpacked",
    ),
    "ArchiveUnsafe": Meaning(
        "an archive has links, devices, paths that lead out of it, encrypted or doubled members",
        "pack plain files with relative names",
    ),
    "CertificateNotTrusted": Meaning(
        "the server's certificate is of an unknown CA or for another name",
        "the CA's certificate as ca.crt in the Secret, or another certificate",
    ),
    "ClaimNotMounted": Meaning(
        "the claim of a pvc:// address is not in the pod", "the claim's name in storageUri"
    ),
    "Crashed": Meaning(
        "a container ended with an exit code and without a word", "its log: `kubectl logs`"
    ),
    "DataInvalid": Meaning(
        "no .npz, pickled, damaged, arrays missing or of another shape or type, values not finite, "
        "labels missing or implausible, no output fits the metric",
        "correct the file",
    ),
    "DeadlineExceeded": Meaning(
        "the Job ran longer than the pool's converter.deadline",
        "a longer deadline, fewer techniques or samples",
    ),
    "DigestMismatch": Meaning(
        "other bytes than spec.model.digest, or than the intake saw",
        "correct the digest, or restore the source",
    ),
    "Evicted": Meaning(
        "the node was short of something, was drained or went away", "nothing", "yes"
    ),
    "HostNotAllowed": Meaning(
        "the host is not on the pool's converter.allowedHosts, or resolves to an address of the "
        "pod itself or of the link-local network that is not listed",
        "have the host listed, or use a listed one",
    ),
    "InternalError": Meaning("unexpected", "the log of the Job has the traceback", "yes"),
    "InvalidConfig": Meaning(
        "config.pbtxt cannot be read, is for another backend, names other tensors, or asks for "
        "batches that the model cannot take",
        "correct it or leave it out",
    ),
    "InvalidCredentials": Meaning("a key of the Secret says something impossible", "correct it"),
    "InvalidManifest": Meaning(
        "the store's manifest cannot be read", "remove the artifact's folder from the store"
    ),
    "InvalidMetric": Meaning(
        "the metric of your own has no such file, module or name, raises, takes too long, gives "
        "not one number for each sample or a number that cannot be right, writes outside its "
        "folder or connects",
        "correct the metric; docs/metric.md has what is checked",
    ),
    "InvalidModel": Meaning(
        "nothing there, empty, truncated, damaged, no ONNX, or ONNX Runtime, scikit-learn or torch "
        "cannot load it",
        "export or upload it again; check it with `onnx.checker`",
    ),
    "InvalidRequest": Meaning(
        "operator and converter image are of different versions", "use one version"
    ),
    "InvalidResponse": Meaning(
        "no S3 store, no proper HTTP, a packed body, or a status that means nothing here",
        "the address, the endpoint, the region; switch the server's compression off",
    ),
    "InvalidTrainer": Meaning(
        "the trainer has no such module or name, lacks a method, fails, builds another model than "
        "the source, or gives data that do not fit it; on a laptop also: torch is not installed",
        "correct the trainer",
    ),
    "InvalidUri": Meaning("the address cannot be meant", "correct storageUri"),
    "Killed": Meaning("a container was killed from outside", "nothing", "yes"),
    "ModelTooLarge": Meaning(
        "above 2 GiB in one file, 100,000 nodes, 8 GiB of weights, 24 levels of nesting",
        "external data for what is too large for one file, or a smaller model",
    ),
    "NoSpaceLeft": Meaning(
        "the source, what it unpacks to, or the next step does not fit the scratch volume, or the "
        "pod was evicted for its own use of disk",
        "a larger converter.scratchSize, a smaller model or less data",
    ),
    "OutOfMemory": Meaning(
        "the model does not fit the converter's memory", "more memory for the pool's converter"
    ),
    "PublishFailed": Meaning(
        "the store took the artifact and does not show it",
        "the store's consistency, the write Secret's rights",
        "yes",
    ),
    "RedirectRefused": Meaning(
        "the server redirects, to whatever address; nothing is asked of it",
        "the final address as storageUri, and its host listed in the pool",
    ),
    "SourceNotFound": Meaning("nothing is at the address", "the address and its spelling"),
    "SourceTooLarge": Meaning(
        "the source is larger than converter.maxSourceSize, or data are above 2 GiB",
        "a smaller source, or a larger limit",
    ),
    "SourceUnreachable": Meaning(
        "no address, no connection, 408, 425, 429 or 5xx, or a body that broke off",
        "the host, its port, and network policies",
        "yes, after three attempts of its own",
    ),
    "TimedOut": Meaning(
        "a server was silent, loading and running once took longer than 45 s, or a stage longer "
        "than its limit",
        "the server and the network; more processors, a smaller model",
        "yes",
    ),
    "TooManyFiles": Meaning("the folder has more than 10,000 files", "the model's own folder"),
    "TritonFailed": Meaning(
        "the Triton beside does not answer, or does not serve the original as it was evaluated",
        "the log of the container `triton`; the pool's server image must serve ONNX",
        "yes",
    ),
    "UnsafeFile": Meaning(
        "a link, a device, or a name that leads out of the folder", "plain files in its place"
    ),
    "UnsafeModel": Meaning(
        "a pickle, or a model of torch, in a pool without trustedCode or on a kernel without "
        "Landlock, "
        "a .skops file with unknown types or wild trees, a program, an archive in an archive, "
        "external data outside the model's folder or behind a link",
        "plain ONNX with its data beside it; .skops for scikit-learn",
    ),
    "UnsupportedArtifact": Meaning(
        "an OCI artifact has layers that are neither named files nor tar, or no manifest for "
        "linux/amd64; a repository of the Hugging Face Hub has no ONNX model in the usual place",
        "push the files with `oras push`, or as an image with tar layers; name a file or a folder "
        "of the repository",
    ),
    "UnsupportedModel": Meaning(
        "custom or unknown operators, more than one model, maps or sequences or bfloat16 as inputs "
        "or outputs, two outputs of one name, scalars where there is no batch axis, axes of length "
        "0, inputs without a declared shape, a newer opset or IR version than the runtime's, no "
        "inputs, runs on no inputs that could be made up; a scikit-learn model of another version, "
        "that skl2onnx does "
        "not know, or whose ONNX answers differ; a model of torch that is weights alone, that it "
        "cannot export, whose ONNX answers differ, that answers by chance or takes something else "
        "than tensors, a TorchScript archive without data, or a converter image without torch",
        "export it otherwise; give evaluation data",
    ),
    "UnsupportedOperation": Meaning(
        "folders cannot be behind https, and the store neither there nor in a registry or the Hub",
        "s3://, gs:// or pvc:// instead",
    ),
    "UnsupportedScheme": Meaning(
        "another scheme than s3, gs, https, oci, hf and pvc", "one of these"
    ),
    "UntrustedMetric": Meaning(
        "a metric of your own in a pool without trustedCode, or on a kernel without Landlock",
        "have the pool trust code, or name a metric that is built in; nodes with Linux 5.13 or "
        "newer",
    ),
    "UntrustedTrainer": Meaning(
        "a trainer in a pool without trustedCode, or on a kernel without Landlock",
        "have the pool trust code, or leave the trainer out; nodes with Linux 5.13 or newer",
    ),
    "WriteFailed": Meaning(
        "a volume cannot be written, for another cause than its size",
        "that it is mounted for writing and belongs to the pod's user",
    ),
}

LOAD_FAILURES: Mapping[str, Meaning] = {
    "ArtifactCorrupt": Meaning(
        "a byte differs from what the digest fixes, or the artifact has another schema",
        "remove the artifact's folder from the store and convert again",
        "three times",
    ),
    "ArtifactMissing": Meaning(
        "the store has no such folder, or a file of it is gone",
        "restore it, or change the spec to convert again",
        "with growing pauses",
    ),
    "LoadFailed": Meaning("Triton refused the model", "its own words follow", "three times"),
    "ModelCrashed": Meaning(
        "the model had been verified and stopped answering, mostly because its process died",
        "Triton's log; servers with more memory, or smaller batches",
        "at once, then with growing pauses",
    ),
    "NoMemory": Meaning(
        "the model does not fit beside the others within the server's limit",
        "servers with more memory",
        "when memory is released, and with growing pauses",
    ),
    "NoSpaceLeft": Meaning(
        "the server's volume for artifacts or for the model repository is full or not writable",
        "servers with more memory, by which the volumes are sized",
        "with growing pauses",
    ),
    "StoreUnreachable": Meaning(
        "the store does not answer or refuses the credentials",
        "the store, and the pool's Secret",
        "with growing pauses",
    ),
    "VerificationFailed": Meaning(
        "the loaded model does not answer the golden samples as recorded",
        "servers of the kind that it was converted for",
        "three times",
    ),
}
