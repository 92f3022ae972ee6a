"""Entry of the sidecar: the supervisor, and in a process of its own the agent itself."""

import os
import sys
from collections.abc import Sequence

from tightship.agent.supervisor import CONFIGURATION_ERROR, supervise

_CHILD = "TIGHTSHIP_AGENT_CHILD"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until told to stop; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if os.environ.get(_CHILD) == "1" or {"-h", "--help"} & set(arguments):
        return _serve(arguments)
    command = [sys.executable, "-m", "tightship.agent.main", *arguments]
    return supervise(command, {**os.environ, _CHILD: "1"})


def _serve(arguments: Sequence[str]) -> int:
    from tightship.agent.serve import serve  # noqa: PLC0415 (the supervisor stays small)
    from tightship.agent.settings import SettingsError, read_settings  # noqa: PLC0415 (likewise)

    try:
        settings = read_settings(arguments, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"tightship agent: {error}\n")
        return CONFIGURATION_ERROR
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
