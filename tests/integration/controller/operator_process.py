"""`tightship run` with the port of the test's agents."""

import asyncio
import os
import sys

from tightship import settings as flags
from tightship.controller import logs
from tightship.controller.supervisor import Supervisor
from tightship.kube.connection import Connection
from tightship.plan.plan import plan


def main() -> None:
    """Run until told to stop."""
    settings = flags.parse(sys.argv[1:])
    logs.set_up(settings.log_level, "text")
    asyncio.run(_run(settings))


async def _run(settings: flags.Settings) -> None:
    connection = await Connection.open(settings.kubeconfig)
    assert settings.lease_namespace
    port = int(os.environ["AGENT_PORT"])
    supervisor = Supervisor(connection, settings, settings.lease_namespace, plan, agent_port=port)
    await supervisor.run()
