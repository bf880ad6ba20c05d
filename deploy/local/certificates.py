"""A private certificate for the embedded store. Its parts recognise each other by it."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.state import write_private

# It never leaves this machine, and nothing would renew it.
LIFETIME = timedelta(days=36_500)


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """Make certificate and key if there are none, for both ends of every connection. Returns the paths."""
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    if certificate_file.exists() and key_file.exists():
        return certificate_file, key_file
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Evermuse embedded store")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The certificate must be valid after the clock was turned back.
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key_file, written.decode())
    write_private(certificate_file, certificate.public_bytes(pem).decode())
    return certificate_file, key_file
