"""Signs random requests with botocore: reads a seed and a count, writes one line of JSON for each."""
import datetime, json, random, sys
from unittest import mock
import botocore.auth
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib.parse import quote

seed, count = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
letters = "abcXYZ019-._~ +%&=?#[]@!$'()*,;:/\"<>\\^`{|}é日🔐\t"


def text(longest, alphabet=letters):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, longest)))


for number in range(count):
    key = text(40)
    query = sorted({text(8, "abc-XYZ09") for _ in range(rng.randint(0, 4))})
    query = [[name, rng.choice(["", text(20)])] for name in query]
    headers = {f"x-amz-meta-{text(6, 'abcdef-')}": text(20, "abc XYZ=;,/\"") for _ in range(rng.randint(0, 4))}
    if rng.random() < 0.3:
        headers["Range"] = f"bytes={rng.randint(0, 99)}-{rng.randint(100, 999)}"
    if rng.random() < 0.3:
        headers["If-Match"] = f'"{text(10, "abcdef0123-")}"'
    if rng.random() < 0.3:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    method = rng.choice(["GET", "PUT", "HEAD", "POST", "DELETE"])
    region = rng.choice(["eu-central-1", "us-east-1", "ap-southeast-2"])
    host = rng.choice(["files.s3.eu-central-1.amazonaws.com", "127.0.0.1:9000", "localhost:8333"])
    when = datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=rng.randint(0, 500_000_000))
    token = text(30, "abcXYZ/+=") if rng.random() < 0.7 else None
    unsigned = rng.random() < 0.5
    body = text(30).encode()
    url = f"https://{host}/{quote(key, safe='/~')}"
    if query:
        url += "?" + "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in query)
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    request.context["payload_signing_enabled"] = not unsigned
    request.context["client_config"] = mock.Mock(s3={"payload_signing_enabled": not unsigned})
    credentials = Credentials("AKIDEXAMPLE", "secret/key+" + str(number), token)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=when, create=True), \
            mock.patch("botocore.compat.get_current_datetime", return_value=when, create=True):
        S3SigV4Auth(credentials, "s3", region).add_auth(request)
    print(json.dumps({
        "method": method, "host": host, "key": key, "query": query, "headers": sorted(headers.items()),
        "region": region, "time": int(when.replace(tzinfo=datetime.timezone.utc).timestamp()),
        "secret": "secret/key+" + str(number), "token": token,
        "hash": request.headers["X-Amz-Content-SHA256"], "authorization": request.headers["Authorization"]}))
