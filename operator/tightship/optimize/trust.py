"""Whether code of the user's may run, and which folder it is imported from; none of it runs here.

On the command line it is the user's own folder. In a Job it is what was fetched, which runs only
where the pool trusts code and the kernel holds it in its folder.
"""

from pathlib import Path

from tightship.api.code import CodeRequest
from tightship.api.job import EvaluateRequest, JobRequest
from tightship.optimize import confine, entry
from tightship.optimize.entry import Part
from tightship.optimize.failures import RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.opened import opened
from tightship.storage import check_folder


def folder(
    part: Part,
    asked: CodeRequest,
    fetched: Path,
    target: Path,
    request: JobRequest | EvaluateRequest,
    folders: Folders,
) -> Path:
    """The folder that the code is imported from; an archive is unpacked into `target`.

    Raises:
        RefusalError: it is not trusted, cannot be held, or its file is not there.
        StorageError: an unsafe or broken archive, or a link among the files.
    """
    _check(part, asked)
    if not asked.confined:
        return fetched
    return _root(part, opened(fetched, target, asked.uri, request, folders), asked.entry)


def _check(part: Part, asked: CodeRequest) -> None:
    if not asked.trusted:
        raise RefusalError(
            part.untrusted,
            f"A {part.what} is code of the user's, and runs only where it is trusted. Have "
            f"spec.trustedCode of the ServingPool set to true, or {part.instead}.",
        )
    if asked.confined and not confine.abi():
        raise RefusalError(
            part.untrusted,
            "This node's kernel has no Landlock (Linux 5.13 or newer, switched on), which is what "
            f"holds a {part.what}'s code in one folder. Convert on other nodes, or {part.instead}.",
        )


def _root(part: Part, found: Path, asked: str) -> Path:
    """The folder itself, or its only folder where an archive was packed with it."""
    place = (entry.split(asked) or (asked, ""))[0]
    names = check_folder(found) if found.exists() else ()
    inner = {Path(name).parts[0] for name in names}
    roots = [found, found / min(inner)] if len(inner) == 1 else [found]
    for root in roots:
        if entry.file(root, place) is not None:
            return root
    shown = ", ".join(names[:4]) or "nothing"
    raise part.refusal(
        f"has no {entry.kind(place)} {place}: its source holds {shown}. Name what is there in "
        "entrypoint, as train.py:NAME or train:NAME for train.py."
    )
