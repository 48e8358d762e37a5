"""A small HTTP/1.1 server that can misbehave, one thread per connection.

Prints one line, "PORT CA-FILE", and serves until its standard input ends. Arguments: the port (0: the system's choice)
and "tls" for a certificate of a private authority that names only "localhost".
"""

import itertools
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

PATTERN = bytes(range(251)) * 4096
gates = {}
gates_lock = threading.Lock()
arrivals = []
connection_numbers = itertools.count(1)


def pattern(count):
    return (PATTERN * (count // len(PATTERN) + 1))[:count]


def gate(name):
    """Two events: the request has arrived; it may be answered."""
    with gates_lock:
        return gates.setdefault(name, (threading.Event(), threading.Event()))


class Connection:
    def __init__(self, stream):
        self.stream = stream
        self.number = next(connection_numbers)
        self.served = 0
        self.pending = b""

    def read_head(self):
        while b"\r\n\r\n" not in self.pending:
            more = self.stream.recv(65536)
            if not more:
                return None
            self.pending += more
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        return head

    def read_body(self, count):
        chunks = [self.pending[:count]]
        left = count - len(chunks[0])
        self.pending = self.pending[count:]
        while left:
            more = self.stream.recv(min(left, 1 << 20))
            if not more:
                return None
            chunks.append(more)
            left -= len(more)
        return b"".join(chunks)

    def answer(self, body=b"", status="200 OK", fields=()):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
        self.stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        if self.method != "HEAD":
            self.stream.sendall(body)

    def wait_for_end(self):
        while self.stream.recv(65536):
            pass

    def serve(self):
        while True:
            head = self.read_head()
            if head is None:
                return
            lines = head.decode().split("\r\n")
            self.method, target, _ = lines[0].split(" ")
            path = target.split("?")[0]
            length = next((int(line.split(":")[1]) for line in lines[1:] if line.lower().startswith("content-length:")), 0)
            name, *arguments = path.strip("/").split("/")
            body = None
            if name not in ("early", "sip"):
                body = self.read_body(length)
                if body is None:
                    return
            operation = getattr(self, "do_" + name.replace("-", "_"), None)
            if operation is None:
                self.answer(b"no such path", "404 Not Found")
            elif operation(head, body, *arguments) == "close":
                return
            self.served += 1

    # What the paths do.

    def do_bytes(self, head, body, count):
        self.answer(pattern(int(count)), fields=["ETag: \"1\""])

    def do_check(self, head, body):
        self.answer(f"{len(body)} {'same' if body == pattern(len(body)) else 'different'}".encode())

    def do_connection(self, head, body):
        self.answer(str(self.number).encode())

    def do_status(self, head, body, status, count):
        self.answer(pattern(int(count)), status + " Status")

    def do_echo(self, head, body, *rest):
        self.answer(head)

    def do_hold(self, head, body, name, order):
        arrived, released = gate(name)
        arrivals.append((name, order))
        arrived.set()
        released.wait()
        self.answer(order.encode())

    def do_arrived(self, head, body, name):
        gate(name)[0].wait()
        self.answer()

    def do_release(self, head, body, name):
        gate(name)[1].set()
        self.answer()

    def do_arrivals(self, head, body, name):
        self.answer(",".join(order for held, order in arrivals if held == name).encode())

    def do_silence(self, head, body):
        self.wait_for_end()
        return "close"

    def do_pause(self, head, body, name):
        """Half of the body, then nothing until the gate opens."""
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + pattern(100_000))
        arrived, released = gate(name)
        arrived.set()
        released.wait()
        self.stream.sendall(b"\xff" * 100_000)
        return "close"

    def do_half(self, head, body):
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + pattern(500))
        return "close"

    def do_more(self, head, body):
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + pattern(20))

    def do_chunked(self, head, body, count):
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        whole = pattern(int(count))
        for start in range(0, len(whole), 70_001):
            chunk = whole[start:start + 70_001]
            self.stream.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.stream.sendall(b"0\r\nX-Trailer: late\r\n\r\n")

    def do_cut_chunks(self, head, body):
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
        return "close"

    def do_drop(self, head, body):
        return "close"

    def do_drop_second(self, head, body):
        """Answers the first request of a connection and drops the next without a byte."""
        if self.served:
            return "close"
        self.answer(str(self.number).encode())

    def do_vanish_second(self, head, body):
        """As above, and from then on nobody listens."""
        if self.served:
            listener.shutdown(socket.SHUT_RDWR)
            return "close"
        self.answer()

    def do_many_headers(self, head, body):
        self.answer(fields=[f"X-Filler-{i}: {'x' * 1000}" for i in range(70)])

    def do_garbage(self, head, body):
        self.stream.sendall(b"This is not HTTP at all.\r\n\r\n")
        return "close"

    def do_interim(self, head, body):
        self.stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        self.answer(b"final", fields=["X-Final: yes"])

    def do_redirect(self, head, body):
        self.answer(b"elsewhere", "307 Temporary Redirect", ["Location: /bytes/1"])

    def do_early(self, head, body):
        """Refuses an upload before reading it."""
        self.answer(b"denied", "403 Forbidden", ["Connection: close"])
        self.stream.shutdown(socket.SHUT_WR)
        self.wait_for_end()
        return "close"

    def do_sip(self, head, body, name):
        """Reads nothing of an upload."""
        arrived, released = gate(name)
        arrived.set()
        released.wait()
        return "close"

    def do_huge_head(self, head, body):
        self.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(directory):
    key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl(directory, "req", "-x509", *key, "-subj", "/CN=Test Authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(directory, "req", *key[:3], "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(directory, "names"), "w") as names:
        names.write("subjectAltName=DNS:localhost\n")
    openssl(
        directory, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
        "2", "-extfile", "names", "-out", "server.pem")


def serve_connection(stream, context):
    try:
        if context:
            stream = context.wrap_socket(stream, server_side=True)
        Connection(stream).serve()
    except OSError:
        pass
    finally:
        stream.close()


def main():
    global listener
    with tempfile.TemporaryDirectory() as directory:
        context = None
        if "tls" in sys.argv:
            make_certificates(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(directory, "server.pem"), os.path.join(directory, "server.key"))
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)

        def accept():
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=serve_connection, args=(stream, context), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        print(listener.getsockname()[1], os.path.join(directory, "ca.pem"), flush=True)
        sys.stdin.read()
    os._exit(0)


main()
