"""The outputs of the stack cognitofs.yaml, and the files that an app and a mount read them from."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

STACK_NAME = "cognitofs"
TEMPLATE = pathlib.Path(__file__).with_name("cognitofs.yaml")

#: Where the app of the template keeps a user's files; what a mount takes by default.
PREFIX = "private/{identity_id}/images/"


@dataclasses.dataclass(frozen=True)
class Deployed:
    region: str
    bucket: str
    user_pool_id: str
    app_client_id: str
    identity_pool_id: str
    #: Of the managed sign-in page; empty without one.
    domain: str = ""
    #: One address for all services, of an emulator; empty for AWS itself.
    endpoint: str = ""

    @classmethod
    def from_outputs(cls, outputs: list[dict[str, str]], endpoint: str = "") -> Deployed:
        """From the `Outputs` that DescribeStacks gives."""
        values = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        return cls(
            region=values["Region"],
            bucket=values["BucketName"],
            user_pool_id=values["UserPoolId"],
            app_client_id=values["AppClientId"],
            identity_pool_id=values["IdentityPoolId"],
            domain=values.get("Domain", ""),
            endpoint=endpoint,
        )

    def amplify_outputs(self) -> dict[str, Any]:
        """As Amplify (Gen 2) writes it. `custom` is the part that Amplify leaves to the app."""
        path = PREFIX.replace("{identity_id}", "${cognito-identity.amazonaws.com:sub}") + "*"
        bucket = {
            "name": "drive",
            "bucket_name": self.bucket,
            "aws_region": self.region,
            "paths": {path: {"entityidentity": ["get", "list", "write", "delete"]}},
        }
        outputs: dict[str, Any] = {
            "version": "1.4",
            "auth": {
                "aws_region": self.region,
                "user_pool_id": self.user_pool_id,
                "user_pool_client_id": self.app_client_id,
                "identity_pool_id": self.identity_pool_id,
                "username_attributes": ["email"],
                "standard_required_attributes": ["email"],
                "user_verification_types": ["email"],
                "unauthenticated_identities_enabled": False,
                "mfa_configuration": "OPTIONAL",
                "mfa_methods": ["TOTP"],
                "password_policy": {
                    "min_length": 12,
                    "require_lowercase": True,
                    "require_uppercase": True,
                    "require_numbers": True,
                    "require_symbols": False,
                },
            },
            "storage": {"aws_region": self.region, "bucket_name": self.bucket, "buckets": [bucket]},
        }
        if self.domain:
            callback = ["http://localhost:8765/callback"]
            outputs["auth"]["oauth"] = {
                "domain": self.domain,
                "identity_providers": [],
                "scopes": ["openid", "email", "profile", "aws.cognito.signin.user.admin"],
                "redirect_sign_in_uri": callback,
                "redirect_sign_out_uri": callback,
                "response_type": "code",
            }
        if self.endpoint:
            names = ("s3_endpoint", "user_pool_endpoint", "identity_pool_endpoint")
            outputs["custom"] = {"cognitofs": dict.fromkeys(names, self.endpoint)}
        return outputs

    def mount_conf(self) -> str:
        """The `[app]` part of a mount.conf."""
        settings = {
            "user_pool_id": self.user_pool_id,
            "app_client_id": self.app_client_id,
            "identity_pool_id": self.identity_pool_id,
            "bucket": self.bucket,
            "region": self.region,
            "prefix": PREFIX,
        }
        if self.endpoint:
            for name in ("s3_endpoint", "user_pool_endpoint", "identity_pool_endpoint"):
                settings[name] = self.endpoint
        # A JSON string is a TOML basic string for everything these can hold.
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        return "[app]\n" + "\n".join(lines) + "\n"


def write_private(path: pathlib.Path, text: str) -> None:
    """Replaces the file in one step, readable by its owner alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def write_amplify_outputs(path: pathlib.Path, deployed: Deployed) -> None:
    write_private(path, json.dumps(deployed.amplify_outputs(), indent=2) + "\n")
