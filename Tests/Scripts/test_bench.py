"""What scripts/bench measures with: the line that delays and counts, the client that replays, signatures, the table."""

import http.server
import os
import socket
import struct
import subprocess
import threading
import time
from xml.etree import ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from conftest import ROOT
from harness.places import free_port
from measure import plots, s3
from measure.figures import Figure, Workload
from measure.report import Report
from measure.workloads import WORKLOADS


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")

    def compiled(name):
        source = ROOT / f"Benchmarks/programs/{name}.c"
        strict = ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", folder / name, source]
        subprocess.run(strict, check=True, timeout=60)
        return folder / name

    return compiled


class Echo:
    """Answers each connection with what it sent, as fast as it can."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection):
        with connection:
            while part := connection.recv(1 << 16):
                connection.sendall(part)


@pytest.fixture
def line(program, tmp_path):
    """Starts lines to an echo; the port to go to, and the counts so far."""
    started = []

    def start(*more):
        port, counts = free_port(), tmp_path / "counts"
        words = [program("line"), "--listen", str(port), "--to", str(Echo().port), "--counts", counts, *more]
        started.append(subprocess.Popen(words, stdin=subprocess.DEVNULL))
        limit = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < limit
                time.sleep(0.02)
        return port, lambda: struct.unpack("3Q", counts.read_bytes())

    yield start
    for process in started:
        process.terminate()
        assert process.wait(10) == 0


def send_and_take(connection, body):
    """All of the echo, while all of the body is sent."""
    sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
    sender.start()
    taken = bytearray()
    while part := connection.recv(1 << 16):
        taken += part
    sender.join()
    return bytes(taken)


@pytest.mark.parametrize("more", [(), ("--round-trip", "20"), ("--round-trip", "4", "--megabits", "400")])
def test_a_line_carries_every_byte_of_more_than_it_can_hold_and_counts_it(line, more):
    port, counts = line(*more)
    body = os.urandom(9 << 20)
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        assert send_and_take(connection, body) == body
    assert counts()[:2] == (len(body), len(body))


def test_connections_of_a_line_do_not_mix(line):
    port, counts = line("--round-trip", "2")
    bodies, taken = [bytes([number]) * 300_000 for number in range(20)], {}

    def use(number):
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            taken[number] = send_and_take(connection, bodies[number])

    users = [threading.Thread(target=use, args=(number,)) for number in range(20)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [taken[number] for number in range(20)] == bodies
    assert counts()[2] == 21


def test_nothing_comes_back_sooner_than_the_round_trip_and_a_connection_costs_one_more(line):
    port, _ = line("--round-trip", "100")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        first = time.monotonic() - began
        began = time.monotonic()
        connection.sendall(b"y")
        assert connection.recv(1) == b"y"
        second = time.monotonic() - began
    assert first >= 0.2
    assert second >= 0.1


class Answers(http.server.BaseHTTPRequestHandler):
    """Stores what is put, in memory; a missing key is a 404."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.server.kept[self.path] = self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, b"")

    def do_GET(self):
        body = self.server.kept.get(self.path)
        self.answer(200 if body is not None else 404, body or b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{len(body)}"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def client(program, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.kept = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = s3.Client(server.server_port, program("replay"), tmp_path)
    made.kept = server.kept
    yield made
    server.shutdown()


def test_replayed_requests_send_their_slices_and_report_each_answer(client, tmp_path):
    bodies = tmp_path / "bodies"
    bodies.write_bytes(os.urandom(3 << 20))
    parts = {f"key {number}": s3.Slice(number * 1000, number * 7919) for number in range(200)}
    client.replay([s3.put(key, part) for key, part in parts.items()], bodies, 8)
    text = bodies.read_bytes()
    assert client.kept == {f"/{s3.BUCKET}/{key.replace(' ', '%20')}": text[p.offset : p.offset + p.size] for key, p in parts.items()}
    _, answers = client.replay([s3.get(key) for key in parts], bodies, 8)
    assert [(answer.status, answer.size, answer.etag) for answer in answers] == [(200, p.size, f'"{p.size}"') for p in parts.values()]


def test_a_replayed_request_that_is_refused_is_an_error(client, tmp_path):
    bodies = tmp_path / "bodies"
    bodies.write_bytes(b"")
    with pytest.raises(s3.Refused, match="GET missing: 404"):
        client.replay([s3.get("missing")], bodies, 1)


@pytest.mark.parametrize(
    "request_",
    [
        s3.get("a/b c+d", 0, 9),
        s3.put("a", s3.Slice(0, 1), "partNumber=2&uploadId=x"),
        s3.copy("new", "old/ä"),
        s3.Request("POST", "a", "uploads="),
        s3.Request("GET", "", "list-type=2&max-keys=10&prefix=a%2Fb"),
    ],
)
def test_requests_are_signed_as_botocore_signs_them(request_, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *_: "20260102T030405Z")
    ours = s3.Signer(1234).headers(request_)

    class Fixed(botocore.auth.S3SigV4Auth):
        def payload(self, _):
            return "UNSIGNED-PAYLOAD"

        def add_auth(self, request):
            request.context["timestamp"] = "20260102T030405Z"
            canonical = self.canonical_request(request)
            return self.signature(self.string_to_sign(request, canonical), request)

    target = s3.Signer(1234).target(request_)
    given = {name: value for name, value in ours.items() if name != "authorization"}
    theirs = botocore.awsrequest.AWSRequest(request_.method, f"http://127.0.0.1:1234{target}", headers=given)
    keys = botocore.credentials.Credentials(s3.ACCESS, s3.SECRET)
    assert ours["authorization"].endswith("Signature=" + Fixed(keys, "s3", s3.REGION).add_auth(theirs))


def facts(*entries):
    words = {name: "some" for name in ("large", "many", "long", "longest", "folders", "each", "pictures", "moved", "moved_many", "saves", "appends", "copied")}
    measurements = [{"workload": w, "system": s, "round_trip_ms": 0, "round": n} | more for n, (w, s, more) in enumerate(entries)]
    versions = {entry["system"]: "1" for entry in measurements}
    return {"machine": "m", "quick": True, "rounds": 1, "words": words, "versions": versions, "measurements": measurements}


def took(seconds):
    return {"figures": {"cold": seconds}, "cost": {"daemon_cpu": 1, "server_cpu": 1, "peak_mib": 1, "requests": {"GET": 1}, "sent": 0, "received": 0}}


READ = WORKLOADS["read-cold"]


@pytest.mark.parametrize("ours, met", [([1.2, 9, 1.3], True), ([1.31], False)])
def test_a_goal_is_met_by_the_median_as_a_factor_of_the_reference(ours, met):
    report = Report(facts(*(("read-cold", "cognitofs", took(seconds)) for seconds in ours), ("read-cold", "limit", took(1.0))))
    assert report.met(READ, READ.figures[0], "cognitofs", 0) is met


def test_a_workload_that_failed_has_not_met_its_goal_and_says_so():
    report = Report(facts(("read-cold", "cognitofs", {"error": "wrong"}), ("read-cold", "limit", took(1.0))))
    assert report.met(READ, READ.figures[0], "cognitofs", 0) is False
    assert "failed" in report.table()


def test_without_its_reference_nothing_is_said_about_a_goal():
    report = Report(facts(("read-cold", "cognitofs", took(1.0))))
    assert report.met(READ, READ.figures[0], "cognitofs", 0) is None


def test_a_goal_in_milliseconds_grows_with_the_round_trip():
    figure = Figure(14, "first_byte", "", "ms", None, 150, round_trips=3)
    assert (figure.bound(0), figure.bound(20)) == (150, 210)


def test_every_row_has_a_figure_and_every_reference_is_measured():
    figures = [(workload, figure) for workload in WORKLOADS.values() for figure in workload.figures]
    assert {figure.row for _, figure in figures} == set(range(1, 16))
    assert all(workload.limit for workload, figure in figures if figure.reference == "limit")
    assert all(isinstance(workload, Workload) for workload, _ in figures)


def test_plots_are_well_formed(tmp_path):
    report = Report(facts(("read-cold", "cognitofs", took(2.0)), ("read-cold", "limit", took(1.0))))
    plots.write_plots(report, tmp_path)
    drawn = plots.lines_plot("a < b", "x", "y", {"cognitofs": [(1, 0.5), (10, 30)]})
    assert ElementTree.parse(tmp_path / "goals-0.svg").getroot().tag.endswith("svg")
    assert "a < b" in "".join(ElementTree.fromstring(drawn).itertext())
