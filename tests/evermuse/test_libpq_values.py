"""Values of a database URL that libpq would only refuse when it connects."""

import pytest

from evermuse import server_urls
from evermuse.server_urls import Unusable


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("target_session_attrs=readwrite", "has the parameter 'target_session_attrs', which must be one of any, read-write"),
        ("gssencmode=no", "has the parameter 'gssencmode', which must be one of disable"),
        ("channel_binding=yes", "has the parameter 'channel_binding', which must be one of disable"),
        ("load_balance_hosts=yes", "has the parameter 'load_balance_hosts', which must be one of disable"),
        ("sslnegotiation=tls", "has the parameter 'sslnegotiation', which must be one of postgres"),
        ("sslcertmode=yes", "has the parameter 'sslcertmode', which must be one of disable"),
        ("sslnegotiation=direct", "has the parameter 'sslnegotiation' with a value that PostgreSQL's client refuses"),
        ("sslmode=require&sslrootcert=system", "has the parameter 'sslmode' with a value that"),
        ("ssl_min_protocol_version=1.2", "has the parameter 'ssl_min_protocol_version' with a value that"),
        ("require_auth=scram-sha-256,secret", "has the parameter 'require_auth' with a value that"),
        ("min_protocol_version=9&max_protocol_version=x", "has several parameters with values that"),
        ("service=secret", "has the parameter 'service' with a value that"),
        ("connect_timeout=1.5", "has the parameter 'connect_timeout', which must be a whole number"),
        ("keepalives_idle=10s", "has the parameter 'keepalives_idle', which must be a whole number"),
        ("keepalives_count=99999999999", "has the parameter 'keepalives_count', which must be a whole number"),
        ("sslmode=verify-full&sslrootcert=/nowhere/secret", "has the parameter 'sslrootcert', whose file cannot be read"),
        ("sslcert=/nowhere/secret", "has the parameter 'sslcert', whose file cannot be read"),
        ("sslkey=/nowhere/secret", "has the parameter 'sslkey', whose file cannot be read"),
        ("hostaddr=db.example", "has the parameter 'hostaddr', which must be IP addresses"),
        ("hostaddr=10.0.0.1,10.0.0.2", "must name as many addresses in 'hostaddr' as hosts"),
        ("port=5432,5433", "must name one port for all hosts, or one for each"),
    ],
)  # fmt: skip
def test_value_that_libpq_refuses_is_a_fault_of_the_url_and_is_not_repeated(query: str, message: str) -> None:
    with pytest.raises(Unusable) as raised:
        server_urls.database(f"postgresql://u:p@db.example/name?{query}")
    assert str(raised.value).startswith(message)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "query",
    [
        "target_session_attrs=read-write",
        "gssencmode=require&channel_binding=require",
        "sslmode=verify-full&sslrootcert=system&sslnegotiation=direct",
        "sslkey=pkcs11:token%3Done",
        "ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3&require_auth=!none",
        "keepalives=1&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=10000",
        "hostaddr=fd00::1",
        "options=-c%20work_mem%3D8MB&application_name=it's",
    ],
)
def test_value_that_libpq_takes_is_accepted_without_a_connection(query: str) -> None:
    assert server_urls.database(f"postgresql://u:p%27%5C@db.example/name?{query}")["HOST"] == "db.example"


def test_several_hosts_may_share_a_port_or_have_one_each() -> None:
    assert server_urls.database("postgresql://u@a:5432,b:5433/n?target_session_attrs=any")["PORT"] == "5432,5433"
    assert server_urls.database("postgresql://u@a,b/n?port=5433")["PORT"] == "5433"
