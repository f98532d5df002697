"""A throw-away CA and certificates for loopback."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
PLAIN = (PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
PKCS8 = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

ENCRYPTED = (
    PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)


def _issue(name, issuer=None, issuer_key=None, days=1, host="localhost"):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                if host == "localhost"
                else [x509.DNSName(host)]
            ),
            critical=False,
        )
        .add_extension(  # Python 3.13 and later want both of an issuer, and the ID of its key
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer_key or key).public_key()),
            critical=False,
        )
        .sign(issuer_key or key, hashes.SHA256())
    )
    return certificate, key


def make(folder):
    """Write ca.pem, and name.pem and name.key of a server and a client; return their paths by name.

    Beside ``server`` there are ``expired`` and ``other``, a certificate for another host. The client's
    key is also there encrypted, as ``encrypted.key``. ``keystore.pem`` has the server's key and certificate, as
    Java reads them.
    """
    folder.mkdir(exist_ok=True)
    ca, ca_key = _issue("ca")
    files = {"ca.pem": ca.public_bytes(PEM)}
    kinds = {"server": {}, "client": {}, "expired": {"days": -1}, "other": {"host": "example.com"}}
    for name, options in kinds.items():
        certificate, key = _issue(name, ca, ca_key, **options)
        files[f"{name}.pem"] = certificate.public_bytes(PEM)
        files[f"{name}.key"] = key.private_bytes(*PLAIN)
        if name == "client":
            files["encrypted.key"] = key.private_bytes(*ENCRYPTED)
        if name == "server":
            files["keystore.pem"] = key.private_bytes(*PKCS8) + files["server.pem"]
    paths = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        paths[name] = str(folder / name)
    return paths
