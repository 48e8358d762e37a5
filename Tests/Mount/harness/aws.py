"""The local AWS, seen from outside the mount: accounts, the bucket's bytes, the role's policy."""

import io
import json
import os
import subprocess
import sys
import tomllib
import urllib.request
import uuid
from dataclasses import dataclass

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import child, places

SHORT = 8
"""Seconds that credentials and tokens live which a test wants to see the end of: enough for a sign-in on a busy machine, whose
last request bears the token that the one before has brought."""

_session = boto3.Session()
_plain = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, read_timeout=60, connect_timeout=5)


class Clients:
    """boto3 clients of one set of credentials, made anew in each process."""

    def __init__(self, endpoint, region, key, secret, token=None):
        self._made, self._process = {}, None
        self._how = dict(
            endpoint_url=endpoint, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
            aws_session_token=token, config=_plain,
        )  # fmt: skip
        child.after_fork.append(self._forget)

    def _forget(self):
        services, self._made = list(self._made), {}
        for service in services:
            self(service)

    def __call__(self, service):
        if service not in self._made:
            self._made[service] = _session.client(service, **self._how)
        return self._made[service]


class Bucket:
    """One bucket as somebody else sees it who is not the mount."""

    def __init__(self, clients, name, waits=places.DURABILITY == "local"):
        self._clients, self.name, self._waits = clients, name, waits

    @property
    def s3(self):
        if self._waits:
            from .person import Person

            Person.sync_all()
        return self._clients("s3")

    @property
    def as_it_is(self):
        """The same, for who does not wait for the mounts."""
        return Bucket(self._clients, self.name, waits=False)

    def get(self, key):
        """The body, or None if there is no such object."""
        try:
            return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def head(self, key):
        try:
            return self.s3.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def put(self, key, body=b"", **more):
        return self.s3.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def delete(self, key):
        self.s3.delete_object(Bucket=self.name, Key=key)

    def list(self, prefix):
        """{key: size} of everything under a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}

    def versions(self, key):
        """The sizes of all versions of one key that were ever put, oldest first. Counts PUTs, also overwritten ones."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=key)
        found = [v for page in pages for v in page.get("Versions", []) if v["Key"] == key]
        return [v["Size"] for v in sorted(found, key=lambda v: v["LastModified"])]

    def deletions(self, key):
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=key)
        return len([d for page in pages for d in page.get("DeleteMarkers", []) if d["Key"] == key])


@dataclass
class Account:
    name: str
    password: str
    identity_id: str
    prefix: str


class LocalAWS:
    """`scripts/local-aws`, started in a folder of its own."""

    def __init__(self, state, port):
        self.state, self.port = state, port
        self.region = "us-east-1"
        self.endpoint = f"http://127.0.0.1:{port}"

    @property
    def script(self):
        return places.CHECKOUT / "scripts/local-aws"

    def start(self):
        self._run("start")
        self.conf = tomllib.loads((self.state / "mount.conf").read_text())
        outputs = json.loads((self.state / "amplify_outputs.json").read_text())
        self.region = outputs["storage"]["aws_region"]
        self.pool, self.client = outputs["auth"]["user_pool_id"], outputs["auth"]["user_pool_client_id"]
        self.identities = outputs["auth"]["identity_pool_id"]
        self.admin = Clients(self.endpoint, self.region, "test", "test")
        self.bucket = Bucket(self.admin, outputs["storage"]["bucket_name"])
        # What is imported on the first request is imported now: a child with an ordinary user's rights may not find it.
        self.bucket.list("private/")
        self._add_phone_client()

    def stop(self):
        self._run("stop")

    def _run(self, verb, *more):
        environment = {"COGNITOFS_VENV": sys.prefix} | os.environ
        done = subprocess.run(
            [self.script, verb, "--state", self.state, "--port", str(self.port), *more], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"scripts/local-aws {verb}: {done.stdout}")
        return done.stdout

    def settings(self, **values):
        """Changes how the running services behave: `credential_seconds`, `token_seconds`, ..."""
        request = urllib.request.Request(
            self.endpoint + "/_cognitofs/settings", json.dumps(values).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _add_phone_client(self):
        """A second app client, as the phone app would have: it signs in without the mount's code."""
        idp, pools = self.admin("cognito-idp"), self.admin("cognito-identity")
        made = idp.create_user_pool_client(
            UserPoolId=self.pool, ClientName="phone", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        )
        self.phone_client = made["UserPoolClient"]["ClientId"]
        pool = pools.describe_identity_pool(IdentityPoolId=self.identities)
        first = pool["CognitoIdentityProviders"][0]
        second = dict(first, ClientId=self.phone_client)
        pools.update_identity_pool(
            IdentityPoolId=self.identities, IdentityPoolName=pool["IdentityPoolName"],
            AllowUnauthenticatedIdentities=False, CognitoIdentityProviders=[first, second],
        )  # fmt: skip
        self._provider = first["ProviderName"]

    def account(self, name=None):
        """A new user of the app, with a password, and where the app keeps this user's files."""
        name = name or f"{uuid.uuid4().hex[:8]}@example.com"
        password = "Correct-Horse-1-" + uuid.uuid4().hex[:8]  # the policy wants a digit, which a number in hex may lack
        idp = self.admin("cognito-idp")
        idp.admin_create_user(
            UserPoolId=self.pool, Username=name, MessageAction="SUPPRESS",
            UserAttributes=[{"Name": "email", "Value": name}, {"Name": "email_verified", "Value": "true"}],
        )  # fmt: skip
        idp.admin_set_user_password(UserPoolId=self.pool, Username=name, Password=password, Permanent=True)
        identity, _ = self._phone_sign_in(name, password)
        return Account(name, password, identity, f"private/{identity}/images/")

    def tokens(self, name, password):
        """What Cognito hands an app: `IdToken`, `AccessToken`, `RefreshToken`."""
        return self.admin("cognito-idp").initiate_auth(
            ClientId=self.phone_client, AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )["AuthenticationResult"]  # fmt: skip

    def _phone_sign_in(self, name, password):
        pools = self.admin("cognito-identity")
        logins = {self._provider: self.tokens(name, password)["IdToken"]}
        identity = pools.get_id(IdentityPoolId=self.identities, Logins=logins)["IdentityId"]
        given = pools.get_credentials_for_identity(IdentityId=identity, Logins=logins)["Credentials"]
        return identity, given

    def phone(self, account):
        """The bucket through this user's own credentials: what the app on the phone can do."""
        _, given = self._phone_sign_in(account.name, account.password)
        own = Clients(self.endpoint, self.region, given["AccessKeyId"], given["SecretKey"], given["SessionToken"])
        own("s3")
        return Bucket(own, self.bucket.name)

    # The role of signed-in users.

    def role(self):
        attached = self.admin("cognito-identity").get_identity_pool_roles(IdentityPoolId=self.identities)
        return attached["Roles"]["authenticated"].rsplit("/", 1)[1]

    def policy(self):
        iam, role = self.admin("iam"), self.role()
        name = iam.list_role_policies(RoleName=role)["PolicyNames"][0]
        return name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]

    def set_policy(self, document):
        name, _ = self.policy()
        self.admin("iam").put_role_policy(RoleName=self.role(), PolicyName=name, PolicyDocument=json.dumps(document))


def stream_of(length, seed=1):
    """A reproducible body of any length that does not compress."""
    import random

    return io.BytesIO(random.Random(seed).randbytes(length))
