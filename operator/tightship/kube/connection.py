"""Where the API server is and how we prove who we are: in-cluster account or kubeconfig."""

import ssl
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ConnectionSettingsError(RuntimeError):
    """Neither a service account nor a usable kubeconfig; the text says what to do."""


class Connection:
    """Address, trust and credentials of one API server. Tokens are renewed when they expire."""

    def __init__(self, configuration: Any) -> None:  # noqa: ANN401 (the client library is untyped)
        self.configuration = configuration

    @classmethod
    async def open(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """From a kubeconfig where one is named, else from the pod's service account.

        Raises:
            ConnectionSettingsError: neither can be read.
        """
        configuration = Configuration()
        try:
            if kubeconfig:
                await load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=kubeconfig, context=context, client_configuration=configuration
                )
            else:
                load_incluster_config(  # type: ignore[no-untyped-call]
                    client_configuration=configuration
                )
        except (ConfigException, OSError, TypeError, yaml.YAMLError) as error:
            # the library lets through what an empty file or one without YAML brings about
            raise ConnectionSettingsError(
                f"no way to the API server: {error}; run inside a pod with a service account, or"
                " name a kubeconfig with --kubeconfig"
            ) from error
        return cls(configuration)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.configuration.host).rstrip("/")

    def tls(self) -> ssl.SSLContext:
        """Trust, and the client certificate where there is one."""
        context: ssl.SSLContext = RESTClientObject(self.configuration).ssl_context
        return context

    async def headers(self) -> dict[str, str]:
        """The Authorization header, with a token that is fresh now."""
        settings = await self.configuration.auth_settings()
        return {
            str(auth["key"]): str(auth["value"])
            for auth in settings.values()
            if auth.get("in") == "header" and auth.get("value")
        }

    def session(self, response_class: type[aiohttp.ClientResponse]) -> aiohttp.ClientSession:
        """A session for a program that speaks to the API server by itself."""

        async def authorize(
            request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            request.headers.update(await self.headers())
            return await send(request)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.tls()),
            response_class=response_class,
            middlewares=(authorize,),
        )


def own_namespace() -> str | None:
    """The namespace of the pod that this runs in, or None outside of a cluster."""
    try:
        return _NAMESPACE_FILE.read_text().strip() or None
    except OSError:
        return None
