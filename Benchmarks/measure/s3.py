"""S3 without a library: requests signed ahead of time, one plain connection, and the program that replays many at once.

This is the `limit` that file systems are compared with, so it does as little as a client can: it hashes no body (the
signature says so), parses nothing it does not need, and keeps its connections. Keys here are plain ASCII.
"""

import base64
import hashlib
import hmac
import http.client
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ACCESS, SECRET, REGION, BUCKET = "benchkey", "benchsecretbenchsecret", "us-east-1", "bench"
PAGE = 1000


class Refused(Exception):
    """The server answered something else than success."""


@dataclass(frozen=True)
class Request:
    method: str
    key: str
    query: str = ""
    headers: tuple = ()
    offset: int = 0
    size: int = 0
    """Which bytes of the file of bodies are sent."""


@dataclass(frozen=True)
class Answer:
    status: int
    size: int
    etag: str


@dataclass(frozen=True)
class Slice:
    """Bytes of the one large file that everything stored is cut from."""

    offset: int
    size: int


def get(key, first=None, last=None):
    return Request("GET", key, headers=() if first is None else (("range", f"bytes={first}-{last}"),))


def put(key, part, query=""):
    return Request("PUT", key, query, offset=part.offset, size=part.size)


def copy(key, source):
    return Request("PUT", key, headers=(("x-amz-copy-source", quote(f"/{BUCKET}/{source}")),))


class Signer:
    """Signature Version 4 of requests to one port of this machine."""

    def __init__(self, port):
        self.host = f"127.0.0.1:{port}"

    def _key(self, day):
        key = b"AWS4" + SECRET.encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key

    def headers(self, request):
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        day = moment[:8]
        signed = dict(request.headers) | {"host": self.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": moment}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        query = "&".join(sorted(part if "=" in part else part + "=" for part in request.query.split("&") if part))
        canonical = f"{request.method}\n{self.path(request)}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._key(day), text.encode(), "sha256").hexdigest()
        signed["authorization"] = f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"
        return signed

    def path(self, request):
        return quote(f"/{BUCKET}/{request.key}")

    def target(self, request):
        return self.path(request) + ("?" + request.query if request.query else "")

    def head(self, request):
        """What goes over the wire before the body."""
        lines = [f"{request.method} {self.target(request)} HTTP/1.1", *(f"{n}: {v}" for n, v in self.headers(request).items())]
        return "\r\n".join([*lines, f"content-length: {request.size}", "", ""]).encode()


class Client:
    """One connection to a port on which S3 is spoken, and the program that opens many."""

    def __init__(self, port, replay, folder):
        self.port, self._replay, self._folder = port, replay, Path(folder)
        self._signer = Signer(port)
        self.asked = Counter()
        """{kind: requests sent with `send`}, in the words of SeaweedFS's counters."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def send(self, request, body=b"", missing=False):
        """The answer's headers and body; with `missing`, None where there is no such key."""
        self.asked["LIST" if "list-type" in request.query else "GET" if request.method == "HEAD" else request.method] += 1
        try:
            answer, text = self._exchange(request, body)
        except (http.client.RemoteDisconnected, BrokenPipeError):  # the server had closed a connection that was long idle
            self._connection.close()
            answer, text = self._exchange(request, body)
        if missing and answer.status == 404:
            return None
        if answer.status // 100 != 2:
            raise Refused(f"{request.method} {request.key}: {answer.status} {text[:200]}")
        return answer.headers, text

    def _exchange(self, request, body):
        self._connection.request(request.method, self._signer.target(request), body or None, self._signer.headers(request))
        answer = self._connection.getresponse()
        return answer, answer.read()

    def page(self, prefix, token="", most=PAGE):
        """One page of a flat listing as it came, and the next one's token ("" at the end)."""
        query = [f"list-type=2&max-keys={most}&prefix={quote(prefix, safe='')}"]
        query += [f"continuation-token={quote(token, safe='')}"] if token else []
        _, text = self.send(Request("GET", "", "&".join(query)))
        found = re.search(rb"<NextContinuationToken>([^<]*)<", text)
        return text, found[1].decode() if found else ""

    def pages(self, prefix):
        token, text = None, b""
        while token != "":
            text, token = self.page(prefix, token or "")
            yield text

    def count(self, prefix):
        """How many objects there are; markers of directories are none."""
        return sum(text.count(b"<Key>") - text.count(b"/</Key>") for text in self.pages(prefix))

    def keys(self, prefix):
        return [key.decode() for text in self.pages(prefix) for key in re.findall(rb"<Key>([^<]*)</Key>", text)]

    def has_any(self, prefix):
        """Whether there is any object, markers of directories aside."""
        text, _ = self.page(prefix, most=10)
        return text.count(b"<Key>") > text.count(b"/</Key>")

    def size(self, key):
        found = self.send(Request("HEAD", key), missing=True)
        return int(found[0]["Content-Length"]) if found else None

    def read(self, key):
        return self.send(get(key))[1]

    def sha256(self, key, size, step=64 << 20):
        digest = hashlib.sha256()
        for first in range(0, size, step):
            digest.update(self.send(get(key, first, min(first + step, size) - 1))[1])
        return digest.hexdigest()

    def delete(self, keys):
        for start in range(0, len(keys), PAGE):
            objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys[start : start + PAGE])
            body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
            md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
            _, text = self.send(Request("POST", "", "delete=", (("content-md5", md5),)), body)
            if b"<Error>" in text:
                raise Refused(f"delete: {text[:300]}")

    def replay(self, requests, bodies, connections):
        """Seconds from the first connection to the last answer, and the answers."""
        path = self._folder / f"requests-{self.port}"
        with open(path, "wb") as file:
            for request in requests:
                head = self._signer.head(request)
                file.write(f"{request.method} {len(head)} {request.offset} {request.size}\n".encode() + head)
        words = [self._replay, str(self.port), str(connections), path, bodies]
        lines = subprocess.run(words, check=True, capture_output=True, text=True, timeout=600).stdout.splitlines()
        answers = [Answer(int(status), int(size), etag) for status, size, etag in (line.split(" ", 2) for line in lines[1:])]
        for request, answer in zip(requests, answers):
            if answer.status // 100 != 2:
                raise Refused(f"{request.method} {request.key}: {answer.status}")
        return float(lines[0]), answers

    def upload_in_parts(self, key, part, part_size, bodies, connections):
        """Seconds from the first request to the last answer."""
        began = time.perf_counter()
        _, text = self.send(Request("POST", key, "uploads="))
        upload = re.search(rb"<UploadId>([^<]*)<", text)[1].decode()
        starts = range(0, part.size, part_size)
        pieces = [Slice(part.offset + start, min(part_size, part.size - start)) for start in starts]
        requests = [put(key, piece, f"partNumber={number}&uploadId={upload}") for number, piece in enumerate(pieces, 1)]
        _, answers = self.replay(requests, bodies, connections)
        named = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{a.etag}</ETag></Part>" for n, a in enumerate(answers, 1))
        body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
        _, text = self.send(Request("POST", key, f"uploadId={upload}"), body)
        if b"<Error>" in text:
            raise Refused(f"complete {key}: {text[:300]}")
        return time.perf_counter() - began
