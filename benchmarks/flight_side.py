"""The other side: Arrow Flight ``DoPut`` of each party's batches into DuckDB, then the same SQL, in its own process."""

import argparse
import datetime as dt
import sys
import threading

import duckdb
import pyarrow as pa
import workload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pyarrow import flight


class Server(flight.FlightServerBase):
    """Takes one table a party and answers one query over their union."""

    def __init__(self, location: str, certificates: list[flight.CertKeyPair]) -> None:
        super().__init__(location, tls_certificates=certificates)
        self._database = duckdb.connect()
        self._tables: set[str] = set()
        self._lock = threading.Lock()

    def do_put(self, context, descriptor, reader, writer) -> None:  # noqa: ARG002
        name = descriptor.path[0].decode()
        cursor = self._database.cursor()
        batches = reader.to_reader()  # noqa: F841 - DuckDB finds it by name
        cursor.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM batches")
        with self._lock:
            self._tables.add(name)

    def do_get(self, context, ticket) -> flight.RecordBatchStream:  # noqa: ARG002
        union = " UNION ALL ".join(f"SELECT * FROM {name}" for name in sorted(self._tables))
        sql = ticket.ticket.decode().replace("FROM people", f"FROM ({union}) people")
        return flight.RecordBatchStream(self._database.cursor().sql(sql).to_arrow_table())


def self_signed() -> tuple[bytes, bytes]:
    """Return a fresh PEM certificate and key for ``localhost``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def send(party: int, rows: int) -> None:
    """Be one party: generate the rows once, and put them whenever a line ``put ADDRESS CERTIFICATE`` says so."""
    table = list(workload.batches(party, rows))
    for line in sys.stdin:
        _, address, certificate = line.split()
        put(address, b"" if certificate == "-" else bytes.fromhex(certificate), party, table)
        print("{}", flush=True)


def main() -> None:
    """Be a party (``--party``), or serve until standard input closes: prints port and certificate (hex, or a dash)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--party", type=int)
    parser.add_argument("--rows", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.party is not None:
        send(arguments.party, arguments.rows)
        return
    certificate, key = self_signed() if (tls := arguments.tls) else (b"", b"")
    server = Server(
        "grpc+tls://127.0.0.1:0" if tls else "grpc://127.0.0.1:0",
        [flight.CertKeyPair(certificate, key)] if tls else [],
    )
    print(server.port, certificate.hex() or "-", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve()


def put(address: str, certificate: bytes, party: int, table: list[pa.RecordBatch]) -> None:
    """Send one party's batches and wait until the server has stored them."""
    client = connect(address, certificate)
    writer, _ = client.do_put(flight.FlightDescriptor.for_path(f"party_{party}"), workload.SCHEMA)
    for batch in table:
        writer.write_batch(batch)
    writer.done_writing()
    writer.close()


def ask(address: str, certificate: bytes) -> pa.Table:
    """Return the answer to the workload's query."""
    return connect(address, certificate).do_get(flight.Ticket(workload.QUERY.encode())).read_all()


def connect(address: str, certificate: bytes) -> flight.FlightClient:
    """Return a client of a server at HOST:PORT, over TLS when there is a certificate."""
    if certificate:
        return flight.FlightClient(f"grpc+tls://{address}", tls_root_certs=certificate, override_hostname="localhost")
    return flight.FlightClient(f"grpc://{address}")


if __name__ == "__main__":
    main()
