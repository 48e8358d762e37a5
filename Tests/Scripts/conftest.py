"""A local AWS of the tests' own, and what a signed-in app does with it."""

import dataclasses
import json
import pathlib
import subprocess
import tomllib
import urllib.request

import boto3
import botocore.config
import pytest
from harness.places import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **more):
    """A script of the package, by name: the finished process with what it printed."""
    program = [ROOT / "scripts" / command[0], *map(str, command[1:])]
    return subprocess.run(program, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL, **more)


@dataclasses.dataclass
class Local:
    state: pathlib.Path
    port: int

    def __call__(self, verb, *more, **how):
        return run("local-aws", verb, *more, "--state", self.state, **how)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def app(self):
        return tomllib.loads((self.state / "mount.conf").read_text())["app"]

    def client(self, service, key="test", secret="test", token=None):
        style = botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=key,
            aws_secret_access_key=secret, aws_session_token=token, config=style,
        )  # fmt: skip

    def switch(self, **switches):
        body = json.dumps(switches).encode()
        with urllib.request.urlopen(f"{self.endpoint}/_cognitofs/settings", body, timeout=10) as answer:
            return json.load(answer)

    def sign_in(self, name):
        """As an app does that sends the password: the identity and its credentials."""
        password = (self.state / "users" / f"{name}@example.com.password").read_text().strip()
        users, identities = self.client("cognito-idp"), self.client("cognito-identity")
        pool = identities.describe_identity_pool(IdentityPoolId=self.app["identity_pool_id"])
        provider = pool["CognitoIdentityProviders"][0]
        client = users.create_user_pool_client(
            UserPoolId=self.app["user_pool_id"], ClientName="app", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]["ClientId"]
        identities.update_identity_pool(
            IdentityPoolId=pool["IdentityPoolId"], IdentityPoolName=pool["IdentityPoolName"],
            AllowUnauthenticatedIdentities=False,
            CognitoIdentityProviders=[provider, {**provider, "ClientId": client}],
        )  # fmt: skip
        answer = users.initiate_auth(
            ClientId=client, AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": f"{name}@example.com", "PASSWORD": password},
        )  # fmt: skip
        logins = {provider["ProviderName"]: answer["AuthenticationResult"]["IdToken"]}
        identity = identities.get_id(IdentityPoolId=pool["IdentityPoolId"], Logins=logins)["IdentityId"]
        return identity, identities.get_credentials_for_identity(IdentityId=identity, Logins=logins)["Credentials"]

    def space(self, name):
        """The identity, and S3 with its credentials."""
        identity, given = self.sign_in(name)
        return identity, self.client("s3", given["AccessKeyId"], given["SecretKey"], given["SessionToken"])


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    made = Local(tmp_path_factory.mktemp("aws"), free_port())
    try:
        started = made("start", "--port", made.port)
        assert started.returncode == 0, started.stderr
        for name in ("ann", "bob"):
            assert made("user", name).returncode == 0
        yield made
    finally:
        made("stop")


@pytest.fixture
def as_ever(local):
    """Puts the switches back after a test that changes them."""
    before = json.load(urllib.request.urlopen(f"{local.endpoint}/_cognitofs/settings", timeout=10))
    yield
    local.switch(**before)
