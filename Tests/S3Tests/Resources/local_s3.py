"""A real S3 server for one test run: starts MiniStack on a free port of 127.0.0.1 with signatures and policies enforced,
makes a bucket and two access keys, writes one line of JSON, and ends the server when its standard input ends.

One key may do everything in the bucket. The other may read, write and delete below `own/` and list nothing.
"""
import json, os, socket, subprocess, sys, time
import boto3
from botocore.config import Config


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def client(service, port, key="test", secret="test"):
    return boto3.client(
        service, endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-central-1", aws_access_key_id=key,
        aws_secret_access_key=secret, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def wait_until_ready(server, port):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server ended with status {server.returncode}")
        try:
            client("s3", port).list_buckets()
            return
        except Exception:
            time.sleep(0.2)
    sys.exit("the server did not answer within 120 s")


def make_key(iam, name, statements):
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


port = free_port()
environment = dict(
    os.environ, AUTH="true", BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port), SERVICES="s3,sts,iam", PERSIST_STATE="0")
server = subprocess.Popen(
    [sys.executable, "-c", "import sys; from ministack import app; sys.exit(app.main())"], env=environment,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    wait_until_ready(server, port)
    s3, iam = client("s3", port), client("iam", port)
    s3.create_bucket(Bucket="files", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    owner = make_key(iam, "owner", [{"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}])
    session = client("sts", port, owner["id"], owner["secret"]).get_session_token()["Credentials"]
    print(json.dumps({
        "port": port,
        "owner": owner,
        "session": {
            "id": session["AccessKeyId"], "secret": session["SecretAccessKey"], "token": session["SessionToken"]},
        "guest": make_key(iam, "guest", [{
            "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": "arn:aws:s3:::files/own/*"}]),
    }), flush=True)
    sys.stdin.read()
finally:
    # It keeps nothing, and asked politely it waits for connections that idle.
    server.kill()
    server.wait()
