"""`tightship run`: from flags to a running operator."""

import asyncio
import sys
from collections.abc import Sequence

from tightship import settings as flags
from tightship.controller import logs
from tightship.controller.supervisor import Supervisor
from tightship.kube.connection import Connection, ConnectionSettingsError, own_namespace
from tightship.plan.plan import plan


def main(arguments: Sequence[str]) -> int:
    """Run the operator until it is told to stop; the exit status."""
    settings = flags.parse(arguments)
    logs.set_up(settings.log_level, settings.log_format)
    namespace = settings.lease_namespace or own_namespace()
    if namespace is None:
        sys.stderr.write(
            "tightship run: where is the Lease to be? Outside of a pod name it with"
            " --lease-namespace\n"
        )
        return 2
    try:
        asyncio.run(_run(settings, namespace))
    except ConnectionSettingsError as error:
        sys.stderr.write(f"tightship run: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"tightship run: {error}; choose another --address or --port\n")
        return 2
    return 0


async def _run(settings: flags.Settings, namespace: str) -> None:
    connection = await Connection.open(settings.kubeconfig, settings.context)
    await Supervisor(connection, settings, namespace, plan).run()
