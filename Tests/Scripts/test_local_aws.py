"""scripts/local-aws: a process that is only ours, and services that refuse what AWS would refuse."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError
from conftest import ROOT, Local, free_port


def refusal(call, *arguments, **named):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"]


# The process


def test_a_second_start_changes_nothing(local):
    pid, app = (local.state / "pid").read_text(), local.app
    assert local("start").returncode == 0
    assert ((local.state / "pid").read_text(), local.app) == (pid, app)


def test_a_start_on_another_port_is_refused_while_it_runs(local):
    again = local("start", "--port", free_port())
    assert again.returncode == 1
    assert f"runs on port {local.port}" in again.stderr


def test_a_taken_port_is_refused_by_number(local, tmp_path):
    other = Local(tmp_path, local.port)
    started = other("start", "--port", local.port)
    assert started.returncode == 1
    assert f"port {local.port} is taken" in started.stderr


def test_it_listens_on_this_machine_only(local):
    pid = int((local.state / "pid").read_text())
    sockets = {os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1])
    assert listening == [f"0100007F:{local.port:04X}"]


def test_two_run_side_by_side_and_know_nothing_of_each_other(local, tmp_path):
    other = Local(tmp_path, free_port())
    try:
        assert other("start", "--port", other.port).returncode == 0
        assert other.app["bucket"] != local.app["bucket"]
        assert other("stop").stdout == "stopped\n"
        assert other("status").returncode == 3
        assert local("status").returncode == 0
    finally:
        other("stop")


def test_a_process_that_is_not_ours_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "pid").write_text(str(stranger.pid))
        assert Local(tmp_path, 0)("stop").stdout == "it was not running\n"
        assert stranger.poll() is None
        stranger.kill()


def test_another_version_of_ministack_is_refused():
    started = subprocess.run(
        [sys.executable, "-c", "import importlib.metadata as m, runpy; m.version = lambda name: '1.0'\n"
         "runpy.run_path('scripts/aws/front.py', run_name='__main__')"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert started.returncode == 1
    assert "needs ministack 1.5.33, found 1.0" in started.stderr


# Users and files


def test_a_password_is_readable_by_its_owner_alone_and_stays(local):
    kept = local.state / "users" / "ann@example.com.password"
    before = kept.read_text()
    assert local("user", "ann").returncode == 0
    assert kept.read_text() == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_name_that_is_a_path_is_refused(local):
    assert "is no user name" in local("user", "../ann").stderr


def test_the_files_for_app_and_mount_say_the_same(local):
    outputs, app = json.loads((local.state / "amplify_outputs.json").read_text()), local.app
    assert outputs["auth"]["user_pool_id"] == app["user_pool_id"]
    assert outputs["auth"]["user_pool_client_id"] == app["app_client_id"]
    assert outputs["auth"]["identity_pool_id"] == app["identity_pool_id"]
    assert outputs["storage"]["bucket_name"] == app["bucket"]
    assert outputs["custom"]["cognitofs"] == dict.fromkeys(
        ["s3_endpoint", "user_pool_endpoint", "identity_pool_endpoint"], local.endpoint
    )
    (path,) = outputs["storage"]["buckets"][0]["paths"]
    assert path == app["prefix"].replace("{identity_id}", "${cognito-identity.amazonaws.com:sub}") + "*"


# What the services refuse


def test_a_user_reaches_the_own_space_and_no_other(local):
    (ann, own), (bob, other) = local.space("ann"), local.space("bob")
    assert ann != bob
    bucket, key = local.app["bucket"], f"private/{ann}/images/a + b%.jpg"
    own.put_object(Bucket=bucket, Key=key, Body=b"picture")
    listed = own.list_objects_v2(Bucket=bucket, Prefix=f"private/{ann}/")
    assert [entry["Key"] for entry in listed["Contents"]] == [key]
    assert own.get_object(Bucket=bucket, Key=key)["Body"].read() == b"picture"

    assert refusal(other.get_object, Bucket=bucket, Key=key) == "AccessDenied"
    assert refusal(other.put_object, Bucket=bucket, Key=key, Body=b"") == "AccessDenied"
    assert refusal(other.delete_object, Bucket=bucket, Key=key) == "AccessDenied"
    assert refusal(other.list_objects_v2, Bucket=bucket, Prefix=f"private/{ann}/") == "AccessDenied"
    assert refusal(own.list_objects_v2, Bucket=bucket, Prefix="") == "AccessDenied"
    assert refusal(own.list_objects_v2, Bucket=bucket, Prefix=f"private/{ann}") == "AccessDenied"


def test_guests_get_no_identity(local):
    identities = local.client("cognito-identity")
    assert refusal(identities.get_id, IdentityPoolId=local.app["identity_pool_id"]) == "NotAuthorizedException"


def test_short_credentials_end(local, as_ever):
    local.switch(credential_seconds=1)
    identity, own = local.space("ann")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            own.list_objects_v2(Bucket=local.app["bucket"], Prefix=f"private/{identity}/")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ExpiredToken"
            return
        time.sleep(0.2)
    pytest.fail("credentials of one second went on for 30")


def test_short_tokens_say_when_they_end(local, as_ever):
    local.switch(token_seconds=60)
    users = local.client("cognito-idp")
    client = users.create_user_pool_client(
        UserPoolId=local.app["user_pool_id"], ClientName="app", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    password = (local.state / "users" / "ann@example.com.password").read_text().strip()
    given = users.initiate_auth(
        ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann@example.com", "PASSWORD": password},
    )  # fmt: skip
    assert given["AuthenticationResult"]["ExpiresIn"] == 60


def test_a_missing_key_is_denied_when_asked_for(local, as_ever):
    identity, own = local.space("ann")
    missing = {"Bucket": local.app["bucket"], "Key": f"private/{identity}/images/missing"}
    assert refusal(own.get_object, **missing) == "NoSuchKey"
    assert refusal(own.head_object, **missing) == "404"
    local.switch(missing_is_403=True)
    assert refusal(own.get_object, **missing) == "AccessDenied"
    assert refusal(own.head_object, **missing) == "403"


def test_a_body_that_is_not_the_signed_one_is_refused(local):
    identity, given = local.sign_in("ann")
    url = f"{local.endpoint}/{local.app['bucket']}/private/{identity}/images/altered"
    keys = botocore.credentials.Credentials(given["AccessKeyId"], given["SecretKey"], given["SessionToken"])
    signed = botocore.awsrequest.AWSRequest("PUT", url, data=b"signed")
    botocore.auth.S3SigV4Auth(keys, "s3", "us-east-1").add_auth(signed)
    # Over plain HTTP, as here, this signer hashes the body.
    assert len(signed.headers["X-Amz-Content-SHA256"]) == 64
    request = urllib.request.Request(url, data=b"altered", method="PUT", headers=dict(signed.headers.items()))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 400
    assert b"XAmzContentSHA256Mismatch" in caught.value.read()


def test_a_setting_that_does_not_exist_changes_nothing(local):
    wrong = local("set", "credential_seconds=5", "no_such_thing=1")
    assert wrong.returncode == 1
    assert "no setting is called no_such_thing" in wrong.stderr
    assert "credential_seconds    0" in local("status").stdout


@pytest.mark.parametrize("value", ["many", "-1", ""])
def test_a_setting_that_is_no_number_is_refused(local, value):
    assert local("set", f"token_seconds={value}").returncode == 1
