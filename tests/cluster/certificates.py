"""The certificates of a cluster for tests: one authority, and one certificate for each who speaks."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """Signs certificates and keeps them in a folder.

    Parameters
    ----------
    folder
        Where `ca.pem` and the certificates go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("romanhub-test", None)
        usage = x509.BasicConstraints(ca=True, path_length=None)
        signed = _builder(self._name, self._name, self._key).add_extension(usage, critical=True)
        self.certificate.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(
        self, name: str, *, group: str | None = None, addresses: tuple[str, ...] = (), names: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """Sign a certificate; returns the files of the certificate and of its key.

        Parameters
        ----------
        name, group
            Who it is for: Kubernetes takes them as the user and the user's group.
        addresses, names
            Where it serves.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(name, group), self._name, key)
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(usages, critical=False)
        alternatives: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        stem = name.replace(":", "-")
        certificate, secret = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        write_key(secret, key)
        return certificate, secret


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key so that only its owner reads it."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )


_PEM = serialization.Encoding.PEM


def _subject(name: str, group: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if group is not None:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2))
    )
