"""An AWS on this machine to try, develop and test with: scripts/local-aws calls this.

One MiniStack process behind our front, on 127.0.0.1, with the stack cognitofs.yaml deployed in it. Its folder holds

  pid, log               of the process
  amplify_outputs.json   for `cognitofs config import`
  mount.conf             for `cognitofs mount`
  users/NAME.password    of each user made here

The data are in the memory of the process: stopping it is forgetting them. A user made again after that gets the
password that the folder has for the name.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import shlex
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from deployed import STACK_NAME, TEMPLATE, Deployed, write_amplify_outputs, write_private

DEFAULT_PORT = 14566
REGION = "us-east-1"
#: What MiniStack takes for the account's own keys.
ROOT_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
SERVICES = "s3,sts,iam,cognito-idp,cognito-identity,cloudformation,ses"
FRONT = pathlib.Path(__file__).with_name("front.py")

START_SECONDS = 90
STOP_SECONDS = 15
PASSWORD_LENGTH = 20


class Refusal(Exception):
    """What a person has to be told instead of an answer."""


class Instance:
    """One local AWS: its folder, and the process if there is one."""

    def __init__(self, state: pathlib.Path, port: int | None) -> None:
        self.state = state.resolve()
        self.wanted_port = port

    @property
    def log(self) -> pathlib.Path:
        return self.state / "log"

    def pid(self) -> int | None:
        """Of the running process, if the one that `pid` names is ours."""
        try:
            pid = int((self.state / "pid").read_text())
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        ours = [os.fsencode(FRONT), os.fsencode(self.state)]
        return pid if all(argument in arguments for argument in ours) else None

    def port(self) -> int:
        """Of the running process, else the wanted one."""
        pid = self.pid()
        if pid is not None:
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return int(arguments[arguments.index(os.fsencode(self.state)) + 1])
        return DEFAULT_PORT if self.wanted_port is None else self.wanted_port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port()}"

    def client(self, service: str) -> Any:
        """A boto3 client with the account's own keys."""
        style = botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2})
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ROOT_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
            config=style,
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one command at a time change this instance."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.state / "lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def running(self) -> None:
        if self.pid() is None:
            raise Refusal("it is not running; scripts/local-aws start")

    # Starting and stopping

    def start(self, switches: dict[str, str]) -> None:
        if self.pid() is None:
            self.wait_until_answering(self.launch(switches))
        elif self.wanted_port not in (None, self.port()):
            raise Refusal(f"it runs on port {self.port()} already; stop it first")
        else:
            self.wait_until_answering(None)
        self.deploy()

    def launch(self, switches: dict[str, str]) -> subprocess.Popen[bytes]:
        port = self.port()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as problem:
                raise Refusal(f"port {port} is taken ({problem.strerror}); choose another with --port") from None
        temporary = self.state / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
        environment |= ROOT_KEYS | switches
        environment |= {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "SERVICES": SERVICES,
            "TMPDIR": str(temporary),
            # Listeners of services that nothing here uses; MiniStack would open them on every interface.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(FRONT), str(self.state), str(port)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.state,
            )
        write_private(self.state / "pid", f"{process.pid}\n")
        return process

    def wait_until_answering(self, launched: subprocess.Popen[bytes] | None) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            # Its arguments, by which `pid` knows it, are not to be seen before its program has begun.
            ended = self.pid() is None if launched is None else launched.poll() is not None
            if ended:
                raise Refusal(f"it ended at once: {self.last_line_of_log()}")
            if self.switches() is not None:
                return
            time.sleep(0.1)
        raise Refusal(f"no answer at {self.endpoint} within {START_SECONDS} s; its log is {self.log}")

    def last_line_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self.log}"

    def stop(self) -> bool:
        """Ends the process and waits for it; false if there was none."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while self.pid() == pid:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        (self.state / "pid").unlink(missing_ok=True)
        return True

    # What runs in it

    def deploy(self) -> Deployed:
        """Creates the stack unless it is there; writes the files for app and mount."""
        formation = self.client("cloudformation")
        try:
            stacks = formation.describe_stacks(StackName=STACK_NAME)["Stacks"]
        except botocore.exceptions.ClientError:
            formation.create_stack(
                StackName=STACK_NAME,
                TemplateBody=TEMPLATE.read_text(),
                # The emulator speaks plain HTTP.
                Parameters=[{"ParameterKey": "RequireTls", "ParameterValue": "false"}],
                Capabilities=["CAPABILITY_IAM"],
            )
            waiter = formation.get_waiter("stack_create_complete")
            waiter.wait(StackName=STACK_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": START_SECONDS})
            stacks = formation.describe_stacks(StackName=STACK_NAME)["Stacks"]
        deployed = Deployed.from_outputs(stacks[0]["Outputs"], self.endpoint)
        write_amplify_outputs(self.state / "amplify_outputs.json", deployed)
        write_private(self.state / "mount.conf", deployed.mount_conf())
        return deployed

    def deployed(self) -> Deployed:
        stacks = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        return Deployed.from_outputs(stacks[0]["Outputs"], self.endpoint)

    def make_user(self, name: str, password: str | None, temporary: bool) -> tuple[str, pathlib.Path]:
        """Makes the user, or gives the one there is the password."""
        username = name if "@" in name else f"{name}@example.com"
        if "/" in username:
            raise Refusal(f"{name} is no user name")
        kept = self.state / "users" / f"{username}.password"
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        if password is None:
            password = kept.read_text().rstrip("\n") if kept.exists() else new_password()
        pools, pool = self.client("cognito-idp"), self.deployed().user_pool_id
        try:
            pools.admin_create_user(
                UserPoolId=pool,
                Username=username,
                UserAttributes=[
                    {"Name": "email", "Value": username},
                    {"Name": "email_verified", "Value": "true"},
                ],
                MessageAction="SUPPRESS",
            )
        except pools.exceptions.UsernameExistsException:
            pass
        pools.admin_set_user_password(
            UserPoolId=pool, Username=username, Password=password, Permanent=not temporary
        )
        write_private(kept, password + "\n")
        return username, kept

    def switches(self, changed: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The front's switches, after the change; None while it does not answer."""
        body = json.dumps(changed).encode() if changed else None
        request = urllib.request.Request(f"{self.endpoint}/_cognitofs/settings", data=body)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as problem:
            raise Refusal(problem.read().decode().strip()) from None
        except (OSError, ValueError):
            return None


def new_password() -> str:
    """Random, and of the kinds of characters that the template's policy asks for."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    while True:
        password = "".join(secrets.choice("".join(kinds)) for _ in range(PASSWORD_LENGTH))
        if all(any(character in kind for character in password) for kind in kinds):
            return password


def start(instance: Instance, options: argparse.Namespace) -> int:
    switches = {f"COGNITOFS_{name.upper()}": value for name, value in map(split_switch, options.set)}
    with instance.locked():
        instance.start(switches)
    print(f"local AWS answers at {instance.endpoint}")
    print(f"  for the mount   {instance.state}/mount.conf")
    print(f"  for the app     {instance.state}/amplify_outputs.json")
    return 0


def stop(instance: Instance, options: argparse.Namespace) -> int:
    with instance.locked():
        was_running = instance.stop()
    print("stopped" if was_running else "it was not running")
    return 0


def status(instance: Instance, options: argparse.Namespace) -> int:
    pid = instance.pid()
    if pid is None:
        print("not running")
        return 3
    switches = instance.switches()
    if switches is None:
        print(f"process {pid} does not answer at {instance.endpoint}; its log is {instance.log}")
        return 1
    deployed = instance.deployed()
    print(f"running: process {pid} at {instance.endpoint}")
    print(f"  bucket          {deployed.bucket}")
    print(f"  user pool       {deployed.user_pool_id}")
    print(f"  identity pool   {deployed.identity_pool_id}")
    print(f"  folder          {instance.state}")
    for name, value in switches.items():
        print(f"  {name:<22}{value}")
    return 0


def user(instance: Instance, options: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else None
    if password == "":
        raise Refusal("no password came on standard input")
    with instance.locked():
        instance.running()
        username, kept = instance.make_user(options.name, password, options.temporary)
    print(f"user      {username}")
    print(f"password  {kept}")
    return 0


def switch(instance: Instance, options: argparse.Namespace) -> int:
    instance.running()
    changed: dict[str, Any] = {}
    for name, value in map(split_switch, options.switches):
        changed[name] = value in ("true", "1") if name in ("missing_is_403", "check_sha256") else int(value)
    print(json.dumps(instance.switches(changed)))
    return 0


def split_switch(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    value = {"true": "1", "false": "0"}.get(value, value)
    if not equals or not value.isdigit():
        raise Refusal(f"{text}: a setting is written NAME=NUMBER or NAME=true")
    return name, value


def environment(instance: Instance, options: argparse.Namespace) -> int:
    """What an AWS tool needs to talk to this instance as the owner of the account."""
    instance.running()
    deployed = instance.deployed()
    values = ROOT_KEYS | {
        "AWS_ENDPOINT_URL": instance.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "COGNITOFS_BUCKET": deployed.bucket,
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    root = pathlib.Path(__file__).resolve().parents[2]
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state", type=pathlib.Path, default=root / ".local-aws", help="its folder (.local-aws)")
    common.add_argument("--port", type=int, help=f"where it listens on 127.0.0.1 ({DEFAULT_PORT})")
    parser = argparse.ArgumentParser(prog="scripts/local-aws", description="An AWS on this machine, with one stack.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run)
        return made

    starting = command("start", start, "start it, wait until it answers, deploy the stack")
    starting.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as for `set`")
    command("stop", stop, "end it; what it held is forgotten")
    command("status", status, "is it running, where, with which settings (exit code 3: not running)")
    making = command("user", user, "make a user, or set the password of the one there is")
    making.add_argument("name", help="an e-mail address, or what comes before @example.com")
    making.add_argument("--password-stdin", action="store_true", help="read the password instead of making one")
    making.add_argument("--temporary", action="store_true", help="ask for a new one at the first sign-in")
    setting = command("set", switch, "change how it behaves: credential_seconds=20 token_seconds=60 missing_is_403=true")
    setting.add_argument("switches", nargs="+", metavar="NAME=VALUE")
    command("env", environment, "print the variables for AWS tools: eval \"$(scripts/local-aws env)\"")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        return options.run(Instance(options.state, options.port), options)
    except (Refusal, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as problem:
        print(f"local-aws: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
