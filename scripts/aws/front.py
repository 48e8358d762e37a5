"""MiniStack with what a client of Cognito and S3 needs to meet and MiniStack lacks.

Started by local_aws.py, which sets the environment. MiniStack checks SRP proofs, signatures, session tokens and IAM
policies itself; this adds:

  policy variables       ${cognito-identity.amazonaws.com:sub} and the like in a role's policies
  guests                 GetId without logins is refused by a pool that allows no guests
  credential_seconds     how long identity-pool credentials live (0: as AWS, an hour)
  token_seconds          how long ID and access tokens live, without the identity pool's grace (0: as the client says)
  missing_is_403         GET and HEAD of a missing key answer 403, as S3 does where the caller may not list it
  check_sha256           a body that does not hash to its x-amz-content-sha256 is refused

The last four are switches: COGNITOFS_CREDENTIAL_SECONDS and so on when starting, then at run time
POST /_cognitofs/settings with the changed ones as JSON; GET shows them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

#: Functions of MiniStack that are not its public interface are replaced here, so the version must be this one.
MINISTACK_VERSION = "1.5.33"

#: How long MiniStack lets identity-pool credentials live, as AWS does.
FULL_CREDENTIAL_SECONDS = 3600
#: The grace MiniStack gives an expired ID token in the identity pool.
LOGIN_GRACE_SECONDS = 300

SETTINGS_PATH = "/_cognitofs/settings"

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, dict[str, str], bytes]


@dataclasses.dataclass
class Switches:
    credential_seconds: int = 0
    token_seconds: int = 0
    missing_is_403: bool = False
    check_sha256: bool = True

    def change(self, wanted: dict[str, Any]) -> None:
        """Takes the given values over, all or none of them."""
        fields = {field.name: type(getattr(self, field.name)) for field in dataclasses.fields(self)}
        for name, value in wanted.items():
            if name not in fields:
                raise ValueError(f"no setting is called {name}; there are {', '.join(fields)}")
            if type(value) is not fields[name] or (fields[name] is int and value < 0):
                raise ValueError(f"{name} needs a {'flag' if fields[name] is bool else 'whole number from 0'}")
        for name, value in wanted.items():
            setattr(self, name, value)

    @classmethod
    def from_environment(cls) -> Switches:
        switches, wanted = cls(), {}
        for field in dataclasses.fields(cls):
            text = os.environ.get(f"COGNITOFS_{field.name.upper()}")
            if text is not None:
                wanted[field.name] = text == "1" if isinstance(field.default, bool) else int(text)
        switches.change(wanted)
        return switches


def fill_variables(value: Any, keys: dict[str, Any]) -> Any:
    """The policy part with its ${variables} filled in; one that is not known matches nothing."""
    if isinstance(value, str):
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(keys.get(found[1].lower(), "\0")), value)
    if isinstance(value, (list, tuple)):
        return type(value)(fill_variables(item, keys) for item in value)
    if isinstance(value, dict):
        return {name: fill_variables(item, keys) for name, item in value.items()}
    return value


def fill_statement(statement: Any, keys: dict[str, Any]) -> Any:
    return dataclasses.replace(
        statement,
        **{field.name: fill_variables(getattr(statement, field.name), keys) for field in dataclasses.fields(statement)},
    )


def teach_policies() -> None:
    """Lets the policy evaluation know who an identity-pool session belongs to."""
    from ministack.core import iam_evaluator
    from ministack.services import sts

    keys_of, principal_of = iam_evaluator._principal_keys, iam_evaluator.resolve_principal

    def principal_keys(credential: Any) -> dict[str, Any]:
        keys = keys_of(credential)
        session = sts._sessions.get(credential.access_key_id) or {}
        if session.get("_identity_id"):
            keys["cognito-identity.amazonaws.com:sub"] = session["_identity_id"]
            keys["cognito-identity.amazonaws.com:aud"] = session.get("_identity_pool_id", "")
            keys["cognito-identity.amazonaws.com:amr"] = session.get("_cognito_amr", [])
        return keys

    def resolve_principal(*arguments: Any, **named: Any) -> Any:
        principal = principal_of(*arguments, **named)
        if isinstance(principal, iam_evaluator.PrincipalInfo) and principal.policies:
            principal.policies = [
                [fill_statement(statement, principal.keys) for statement in policy] for policy in principal.policies
            ]
        return principal

    iam_evaluator._principal_keys = principal_keys
    iam_evaluator.resolve_principal = resolve_principal


def teach_cognito(switches: Switches) -> None:
    """Guests, and the lives of credentials and tokens."""
    from ministack.services import cognito, sts

    get_id, get_credentials = cognito._get_id, cognito._get_credentials_for_identity
    token_validity, login_error = cognito._token_validity, cognito._identity_logins_error

    def get_id_of_member(request: dict[str, Any]) -> Answer:
        pool = cognito._identity_pools.get(request.get("IdentityPoolId"))
        if pool and not request.get("Logins") and not pool.get("AllowUnauthenticatedIdentities"):
            return cognito.error_response_json(
                "NotAuthorizedException", "Unauthenticated access is not supported for this identity pool.", 400
            )
        return get_id(request)

    def get_short_credentials(request: dict[str, Any]) -> Answer:
        status, headers, body = get_credentials(request)
        if status == 200 and switches.credential_seconds:
            answer = json.loads(body)
            credentials = answer["Credentials"]
            credentials["Expiration"] += switches.credential_seconds - FULL_CREDENTIAL_SECONDS
            sts._sessions[credentials["AccessKeyId"]]["Expiration"] = credentials["Expiration"]
            body = json.dumps(answer).encode()
        return status, headers, body

    def short_validity(pool_id: str, client_id: str, token_type: str) -> int:
        if switches.token_seconds and token_type != "refresh":
            return switches.token_seconds
        return token_validity(pool_id, client_id, token_type)

    def logins_error(*arguments: Any, **named: Any) -> Any:
        cognito._LOGIN_TOKEN_CLOCK_SKEW = 0 if switches.token_seconds else LOGIN_GRACE_SECONDS
        return login_error(*arguments, **named)

    cognito._get_id, cognito._get_credentials_for_identity = get_id_of_member, get_short_credentials
    cognito._token_validity, cognito._identity_logins_error = short_validity, logins_error


async def answer(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def s3_error(code: str, message: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    ).encode()


async def whole_body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """What `receive` would have given, with the body in one piece."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def denying_missing(method: str, send: Send) -> Send:
    """Turns a 404 into the 403 that S3 gives to somebody who may not list."""
    denied = False

    async def next_message(message: Message) -> None:
        nonlocal denied
        if message["type"] == "http.response.start" and message["status"] == 404:
            denied = True
            headers = [(name, value) for name, value in message["headers"] if name.lower() != b"content-length"]
            await send({**message, "status": 403, "headers": headers})
        elif denied and message["type"] == "http.response.body":
            body = b"" if method == "HEAD" else s3_error("AccessDenied", "Access Denied")
            await send({**message, "body": body, "more_body": False})
        else:
            await send(message)

    return next_message


class Front:
    """The ASGI application: our settings, and S3's two manners, before MiniStack's own application."""

    def __init__(self, inner: Callable[[Scope, Receive, Send], Awaitable[None]], switches: Switches) -> None:
        self.inner = inner
        self.switches = switches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.inner(scope, receive, send)
        if scope["path"] == SETTINGS_PATH:
            return await self.settings(scope, receive, send)
        headers = {name.lower(): value for name, value in scope["headers"]}
        authorization = headers.get(b"authorization", b"")
        if b"/s3/aws4_request" not in authorization:
            return await self.inner(scope, receive, send)

        claimed = headers.get(b"x-amz-content-sha256", b"").decode("latin-1")
        if self.switches.check_sha256 and re.fullmatch(r"[0-9a-f]{64}", claimed):
            body = await whole_body(receive)
            if hashlib.sha256(body).hexdigest() != claimed:
                message = "The provided 'x-amz-content-sha256' header does not match what was computed."
                return await answer(send, 400, "application/xml", s3_error("XAmzContentSHA256Mismatch", message))
            receive = replayed(body, receive)

        names_a_key = scope["path"].strip("/").count("/") >= 1
        of_a_session = b"Credential=ASIA" in authorization
        if self.switches.missing_is_403 and scope["method"] in ("GET", "HEAD") and names_a_key and of_a_session:
            send = denying_missing(scope["method"], send)
        await self.inner(scope, receive, send)

    async def settings(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            try:
                self.switches.change(json.loads(await whole_body(receive)))
            except (ValueError, AttributeError) as problem:
                return await answer(send, 400, "text/plain", f"{problem}\n".encode())
        await answer(send, 200, "application/json", json.dumps(dataclasses.asdict(self.switches)).encode())


def use_fast_checksums() -> None:
    """Checksums in C: MiniStack's own, in Python, take a second for a few megabytes and stop everybody else meanwhile."""
    from awscrt import checksums
    from ministack.services import s3

    s3._crc32c, s3._crc64nvme = checksums.crc32c, checksums.crc64nvme


def main() -> int:
    try:
        version = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if version != MINISTACK_VERSION:
        print(f"front: needs ministack {MINISTACK_VERSION}, found {version}; run scripts/setup", file=sys.stderr)
        return 1
    from ministack import app as ministack

    switches = Switches.from_environment()
    teach_policies()
    teach_cognito(switches)
    use_fast_checksums()
    ministack.app = Front(ministack.app, switches)
    # Our own arguments only tell one instance from another in the list of processes.
    del sys.argv[1:]
    return ministack.main() or 0


if __name__ == "__main__":
    sys.exit(main())
