"""The pool's certificate, agent token and Triton key: made once, renewed in time, read by name."""

import base64
import datetime as dt
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tightship.api import names
from tightship.kube.client import Client
from tightship.kube.errors import AlreadyExistsError, ConflictError, NotFoundError
from tightship.kube.resources import SECRETS, Object
from tightship.kube.store import PoolKey
from tightship.plan.actions import Owner

VALID_SECONDS = 365 * 86400
RENEW_SECONDS = 30 * 86400  # left, when a new certificate is made
_KNOWN_SECONDS = 600.0  # that a Secret is believed without another look
_MISSING_SECONDS = 5.0

CERTIFICATE = "tls.crt"
KEY = "tls.key"
PREVIOUS = "previous.crt"  # trusted as well: the kubelet brings a new Secret to a pod in a minute
TOKEN = "token"  # noqa: S105 (the name of a field)
TRITON_KEY = "triton-key"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the operator needs to speak to a pool's agents. `expires` is seconds since the epoch."""

    trusted: tuple[str, ...]  # PEM
    token: str
    expires: float
    version: str

    def __repr__(self) -> str:
        return f"Credentials(expires={self.expires:.0f})"

    def tls(self) -> ssl.SSLContext:
        """Trusts exactly the pool's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata="\n".join(self.trusted))
        return context


class CertificateBook:
    """The Secrets of all pools, read on demand; Secrets are never listed or watched."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[PoolKey, tuple[float, Credentials | None]] = {}

    async def credentials(self, pool: PoolKey) -> Credentials | None:
        """The pool's credentials as of a few minutes ago; None when there is no usable Secret.

        Raises:
            KubeError: the Secret cannot be read.
        """
        read_at, known = self._known.get(pool, (0.0, None))
        if self._clock() - read_at < (_KNOWN_SECONDS if known else _MISSING_SECONDS):
            return known
        try:
            secret = await self._client.get(SECRETS, pool[0], names.agent_secret_name(pool[1]))
        except NotFoundError:
            return self._remember(pool, None)
        return self._remember(pool, _read(secret))

    def doubt(self, pool: PoolKey) -> None:
        """Look again next time: an agent did not take what we know."""
        read_at, known = self._known.get(pool, (0.0, None))
        if known and self._clock() - read_at > _MISSING_SECONDS:
            del self._known[pool]

    def forget(self, pool: PoolKey) -> None:
        """Drop a pool that is gone."""
        self._known.pop(pool, None)

    async def ensure(self, pool: PoolKey, owner: Owner) -> bool:
        """Make the Secret, or renew its certificate in time; whether something was written.

        Two operators that do this at once end with one of the two Secrets.

        Raises:
            ConflictError: a Secret of that name is not ours.
            KubeError: as any request.
        """
        try:
            live = await self._client.get(SECRETS, pool[0], names.agent_secret_name(pool[1]))
        except NotFoundError:
            return await self._create(pool, owner)
        credentials = _read(live)
        owned = any(o["uid"] == owner.uid for o in live["metadata"].get("ownerReferences") or ())
        if credentials and owned and credentials.expires - self._clock() > RENEW_SECONDS:
            self._remember(pool, credentials)
            return False
        if not _ours(live):
            raise ConflictError(
                f"Secret {names.agent_secret_name(pool[1])} exists and was not made by the"
                " operator; delete or rename it"
            )
        return await self._renew(pool, owner, live)

    async def _create(self, pool: PoolKey, owner: Owner) -> bool:
        data = new_data(names.agent_server_name(pool[1], pool[0]), self._clock())
        try:
            made = await self._client.create(_secret(pool, owner, data), manager=names.MANAGER)
        except AlreadyExistsError:
            self._known.pop(pool, None)
            return False
        self._remember(pool, _read(made))
        return True

    async def _renew(self, pool: PoolKey, owner: Owner, live: Object) -> bool:
        server_name = names.agent_server_name(pool[1], pool[0])
        data = {**new_data(server_name, self._clock()), **_kept(live)}
        wanted = _secret(pool, owner, data)
        wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        made = await self._client.replace(wanted, manager=names.MANAGER)
        self._remember(pool, _read(made))
        return True

    def _remember(self, pool: PoolKey, credentials: Credentials | None) -> Credentials | None:
        self._known[pool] = (self._clock(), credentials)
        return credentials


def new_data(server_name: str, now: float) -> dict[str, str]:
    """A self-signed P-256 server certificate for one name, and two random keys."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server_name[:64])])
    begins = dt.datetime.fromtimestamp(now - 300, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(seconds=VALID_SECONDS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        CERTIFICATE: certificate.public_bytes(serialization.Encoding.PEM).decode(),
        KEY: private.decode(),
        TOKEN: secrets.token_urlsafe(32),
        TRITON_KEY: secrets.token_urlsafe(32),
    }


def _kept(live: Object) -> dict[str, str]:
    """What a renewal leaves: the keys, so that nothing has to restart, and the old certificate."""
    data = _decoded(live)
    kept = {name: data[name] for name in (TOKEN, TRITON_KEY) if data.get(name)}
    return kept | ({PREVIOUS: data[CERTIFICATE]} if data.get(CERTIFICATE) else {})


def _secret(pool: PoolKey, owner: Owner, data: dict[str, str]) -> Object:
    secret = SECRETS.identity(pool[0], names.agent_secret_name(pool[1]))
    secret["metadata"] |= {
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POOL_LABEL: pool[1]},
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": owner.kind,
                "name": owner.name,
                "uid": owner.uid,
            }
        ],
    }
    return secret | {"type": "Opaque", "stringData": data}


def _ours(secret: Object) -> bool:
    labels = secret["metadata"].get("labels") or {}
    return labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY


def _decoded(secret: Object) -> dict[str, str]:
    data = secret.get("data") or {}
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def _read(secret: Object) -> Credentials | None:
    """The credentials of a Secret; None when a part is missing or broken: it is made anew."""
    try:
        data = _decoded(secret)
        certificate = x509.load_pem_x509_certificate(data[CERTIFICATE].encode())
        trusted = tuple(data[name] for name in (CERTIFICATE, PREVIOUS) if data.get(name))
        token = data[TOKEN]
    except (KeyError, ValueError):
        return None
    if not token or not data.get(KEY) or not data.get(TRITON_KEY):
        return None
    expires = certificate.not_valid_after_utc.timestamp()
    return Credentials(trusted, token, expires, str(secret["metadata"]["resourceVersion"]))
