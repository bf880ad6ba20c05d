"""The embedded servers protect their data from local users, from web pages, and from each other's clients."""

import io
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import psycopg.errors
import pytest
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import S3Error

from deploy.local.embedded import Servers
from deploy.local.seaweedfs import SeaweedFS
from deploy.local.servers import PostgreSQL, hand_over
from deploy.local.state import BUCKET, ROOT_ACCESS_KEY
from tests.journeys.stack import until
from tests.store import store_client

KEY, SECRET = "attachments/workspace=acme/guarded", b"only with a key " * 4096
INNER = ("master", "volume", "filer", "master.grpc", "volume.grpc", "filer.grpc", "s3.grpc")
REQUESTS = [
    ("GET", "/"), ("GET", "/ui/index.html"), ("GET", "/status"), ("GET", "/cluster/status"), ("GET", "/metrics"),
    ("GET", "/dir/status"), ("GET", "/dir/lookup?volumeId=1"), ("GET", "/dir/assign"), ("GET", "/vol/grow?count=1"),
    ("POST", "/submit"), ("GET", f"/col/delete?collection={BUCKET}"), ("POST", f"/col/delete?collection={BUCKET}"),
    ("GET", f"/buckets/{BUCKET}/?pretty=y"), ("GET", f"/buckets/{BUCKET}/{KEY}"), ("POST", f"/buckets/{BUCKET}/{KEY}"),
    ("DELETE", f"/buckets/{BUCKET}/?recursive=true"), ("GET", "/1,0100000000"), ("DELETE", "/1,0100000000"),
]  # fmt: skip


def store(servers: Servers, who: str = "MINIO") -> Minio:
    return store_client(servers.environment, who)


@pytest.fixture
def guarded(servers: Servers) -> Iterator[Minio]:
    """The product's client, with an object in the store."""
    client = store(servers)
    client.put_object(BUCKET, KEY, io.BytesIO(SECRET), len(SECRET))
    yield client
    assert client.get_object(BUCKET, KEY).read() == SECRET
    client.remove_object(BUCKET, KEY)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("part", INNER)
def test_inner_ports_of_the_store_answer_nothing_without_a_certificate(
    servers: Servers, guarded: Minio, part: str
) -> None:
    port = servers.home.ports_in_use[part]
    pool = urllib3.PoolManager(timeout=5, retries=False, cert_reqs="CERT_NONE", assert_hostname=False)
    for scheme in ("http", "https"):
        for method, path in REQUESTS:
            body = b"forged" if method == "POST" else None
            try:
                answer = pool.request(method, f"{scheme}://127.0.0.1:{port}{path}", body=body)
            except urllib3.exceptions.HTTPError:
                continue
            # Go's answer to a client that does not use TLS.
            assert (scheme, answer.status) == ("http", 400), path
            assert b"HTTPS server" in answer.data


@pytest.mark.parametrize("part", INNER)
def test_inner_ports_of_the_store_require_a_client_certificate(servers: Servers, part: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", servers.home.ports_in_use[part]), timeout=30) as plain,
        pytest.raises((ssl.SSLError, ConnectionError), match=r"certificate required|reset|EOF"),
        context.wrap_socket(plain) as wrapped,
    ):
        wrapped.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        if not wrapped.recv(1024):
            raise ConnectionError("reset")


def test_store_allows_no_cross_origin_request(servers: Servers, guarded: Minio) -> None:
    url = guarded.presigned_get_object(BUCKET, KEY)
    answer = urllib3.request("GET", url, headers={"Origin": "http://evil.example"})
    assert answer.data == SECRET
    assert "Access-Control-Allow-Origin" not in answer.headers
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    preflight = urllib3.request("OPTIONS", url, headers=asked)
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert preflight.status == 403


def attempts(client: Minio, prefix: str) -> dict[str, Callable[[], Any]]:
    return {
        "put": lambda: client.put_object(BUCKET, f"{prefix}/put", io.BytesIO(b"x"), 1),
        "get": lambda: client.get_object(BUCKET, KEY).read(),
        "copy": lambda: client.copy_object(BUCKET, f"{prefix}/copy", CopySource(BUCKET, KEY)),
        "list": lambda: list(client.list_objects(BUCKET, prefix=f"{prefix}/")),
        "multipart": lambda: client._create_multipart_upload(BUCKET, f"{prefix}/parts", {}),
        "make bucket": lambda: client.make_bucket("another"),
        "policy": lambda: client.set_bucket_policy(BUCKET, json.dumps({"Version": "2012-10-17", "Statement": []})),
        "remove bucket": lambda: client.remove_bucket(BUCKET),
    }


def refused(client: Minio, prefix: str) -> set[str]:
    found = set()
    for name, attempt in attempts(client, prefix).items():
        try:
            attempt()
        except S3Error as error:
            assert error.code in {"AccessDenied", "BucketAlreadyExists"}, name
            found.add(name)
    return found


def test_store_keys_of_the_product_have_no_administrative_rights(servers: Servers, guarded: Minio) -> None:
    assert refused(guarded, "attachments/test") == {"make bucket", "policy", "remove bucket"}
    assert servers.environment["MINIO_ACCESS_KEY"] != ROOT_ACCESS_KEY
    assert servers.home.secrets()["store_root"] not in servers.environment.values()


def test_upload_keys_may_only_put_under_uploads(servers: Servers, guarded: Minio) -> None:
    uploads = store(servers, "MINIO_UPLOAD")
    assert set(attempts(uploads, "x")) - refused(uploads, "uploads") == {"put", "multipart"}
    assert set(attempts(uploads, "x")) - refused(uploads, "attachments") == set()
    assert set(attempts(uploads, "x")) - refused(uploads, "uploads-not") == set()


def test_tests_cover_every_port_of_the_store(servers: Servers) -> None:
    assert set(INNER) | {"s3"} == set(SeaweedFS.PORTS)


def test_database_role_of_the_product_is_no_superuser(servers: Servers) -> None:
    with psycopg.connect(servers.environment["DATABASE_URL"], autocommit=True) as connection:
        role = "SELECT rolsuper, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(role).fetchone() == (False, False, False, False)
        owner = "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == (True,)
        for forbidden in (
            "SELECT * FROM pg_authid",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "SELECT pg_read_file('PG_VERSION')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_database_of_an_earlier_version_is_handed_over_to_the_new_role(servers: Servers) -> None:
    server, name = PostgreSQL(servers.home), "handed_over"
    with psycopg.connect(server.superuser_url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        with psycopg.connect(server.superuser_url(name)) as connection:
            connection.execute('CREATE TABLE "Old one" (id bigserial, key int GENERATED ALWAYS AS IDENTITY)')
            connection.execute(
                'CREATE SEQUENCE free; CREATE VIEW seen AS SELECT 1; INSERT INTO "Old one" DEFAULT VALUES'
            )
            connection.execute("CREATE FUNCTION one(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
            connection.execute("CREATE TABLE parted (id int) PARTITION BY RANGE (id)")
            connection.execute("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9)")
        for _ in range(2):
            with psycopg.connect(server.superuser_url(name)) as connection:
                hand_over(connection, password=servers.home.secrets()["database_app"])
        ours = servers.environment["DATABASE_URL"].rpartition("/")[0]
        with psycopg.connect(f"{ours}/{name}") as connection:
            connection.execute('ALTER TABLE "Old one" ADD COLUMN more int; DROP VIEW seen; DROP FUNCTION one(int)')
            connection.execute(
                "SELECT nextval('free'); INSERT INTO \"Old one\" DEFAULT VALUES; CREATE TABLE new (id int)"
            )
            assert connection.execute('SELECT count(*) FROM "Old one"').fetchone() == (2,)
            connection.execute("CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (9) TO (99)")
            connection.execute("ALTER TABLE parted DETACH PARTITION parted_1; DROP TABLE parted_1")
    finally:
        with psycopg.connect(server.superuser_url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER ROLE evermuse_app CREATEDB")  # other tests make their own databases
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def test_postgresql_logs_errors_without_statements_and_rows(servers: Servers) -> None:
    log = servers.home.root / "log" / "postgres.log"
    with psycopg.connect(servers.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE files (url text UNIQUE)")
        connection.execute("INSERT INTO files VALUES ('https://vendor.example/?X-Amz-Signature=TOLD-BY-A-ROW')")
        for statement in (
            "INSERT INTO files VALUES ('https://vendor.example/?X-Amz-Signature=TOLD-BY-A-ROW')",
            "SELECT 1 / 0, 'https://vendor.example/?X-Amz-Signature=TOLD-BY-A-STATEMENT'",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / %s, %s::text", [0, "TOLD-BY-A-PARAMETER"], binary=True)
    # A thread copies what PostgreSQL says into the file.
    until(lambda: log.read_text(errors="replace").count("division by zero") > 1, "PostgreSQL has logged the last error")
    said = log.read_text(errors="replace")
    assert "files_url_key" in said
    assert "TOLD-BY" not in said
