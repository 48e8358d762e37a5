"""Starts the local AWS for the integration tests, makes users, and prints what a client needs as one line of JSON.

Ends the server when its standard input is closed, so that it cannot outlive the tests.
"""

import json
import pathlib
import shutil
import socket
import sys
import tempfile

root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root / "scripts" / "aws"))
import local_aws  # noqa: E402

claims = []


def start(state):
    for port in range(21200, 21300):
        # Two runs at once must not take one port for free: a name of the kernel's, held as long as this process lives.
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0cognitofs-test-port-{port}")
        except OSError:
            continue
        claims.append(claim)
        instance = local_aws.Instance(state, port)
        try:
            instance.start({})
            return instance
        except local_aws.Refusal as refusal:
            if "is taken" not in str(refusal):
                raise
    raise SystemExit("no free port")


def tokens(pools, pool, client, user, password):
    answer = pools.admin_initiate_auth(
        UserPoolId=pool, ClientId=client, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user, "PASSWORD": password},
    )
    return answer["AuthenticationResult"]["AccessToken"]


def totp(secret):
    import base64, hashlib, hmac, struct, time

    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    at = digest[19] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def main():
    state = pathlib.Path(tempfile.mkdtemp(prefix="cognitofs-aws-"))
    instance = start(state)
    try:
        deployed = instance.deployed()
        pools = instance.client("cognito-idp")
        pool, password = deployed.user_pool_id, "Correct-Horse-42"
        for name in ("alice", "bob", "carol", "dave", "mallory"):
            instance.make_user(name, password, name == "carol")
        flows = ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        helper = pools.create_user_pool_client(UserPoolId=pool, ClientName="helper", ExplicitAuthFlows=flows)
        access = tokens(pools, pool, helper["UserPoolClient"]["ClientId"], "dave@example.com", password)
        secret = pools.associate_software_token(AccessToken=access)["SecretCode"]
        pools.verify_software_token(AccessToken=access, UserCode=totp(secret))
        pools.set_user_mfa_preference(
            AccessToken=access, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True})
        secretive = pools.create_user_pool_client(
            UserPoolId=pool, ClientName="secretive", ExplicitAuthFlows=flows, GenerateSecret=True)["UserPoolClient"]
        identities = instance.client("cognito-identity")
        identity_pool = identities.describe_identity_pool(IdentityPoolId=deployed.identity_pool_id)
        providers = identity_pool["CognitoIdentityProviders"]
        identities.update_identity_pool(
            IdentityPoolId=deployed.identity_pool_id, IdentityPoolName=identity_pool["IdentityPoolName"],
            AllowUnauthenticatedIdentities=False,
            CognitoIdentityProviders=providers + [{**providers[0], "ClientId": secretive["ClientId"]}])
        print(json.dumps({
            "endpoint": instance.endpoint, "userPoolID": pool, "clientID": deployed.app_client_id,
            "identityPoolID": deployed.identity_pool_id, "password": password,
            "totpSecret": secret, "secretClientID": secretive["ClientId"], "clientSecret": secretive["ClientSecret"],
        }), flush=True)
        for line in sys.stdin:
            command, *arguments = line.split()
            if command == "totp":
                print(totp(*arguments), flush=True)
            elif command == "disable":
                pools.admin_disable_user(UserPoolId=pool, Username=arguments[0])
                print("done", flush=True)
    finally:
        instance.stop()
        shutil.rmtree(state, ignore_errors=True)


main()
