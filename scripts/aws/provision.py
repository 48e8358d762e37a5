"""Deploys cognitofs.yaml to an AWS account: scripts/provision calls this.

Which account, and with which rights, is what the AWS command line would take too: the profile, the AWS_ variables,
the region. Nothing is changed before the changes have been shown and agreed to.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import uuid
from typing import Any

import boto3
import botocore.config
import botocore.exceptions

from deployed import STACK_NAME, TEMPLATE, Deployed, write_amplify_outputs

#: Waiting for CloudFormation: this often, this many times.
WAIT = {"Delay": 5, "MaxAttempts": 240}
#: What CloudFormation says of a change set that changes nothing.
NOTHING = ("didn't contain changes", "No updates are to be performed")


class Refusal(Exception):
    """What a person has to be told instead of an answer."""


class Account:
    def __init__(self, options: argparse.Namespace) -> None:
        self.stack = options.stack
        self.session = boto3.Session(profile_name=options.profile, region_name=options.region)
        self.endpoint = options.endpoint
        if not self.session.region_name:
            raise Refusal("in which region? --region, or AWS_REGION, or the profile's")
        self.formation = self.client("cloudformation")

    def client(self, service: str) -> Any:
        style = botocore.config.Config(s3={"addressing_style": "path"}) if self.endpoint else None
        return self.session.client(service, endpoint_url=self.endpoint, config=style)

    def describe(self) -> dict[str, Any] | None:
        """The stack; None if there is none, or only a plan of one."""
        try:
            stack = self.formation.describe_stacks(StackName=self.stack)["Stacks"][0]
        except botocore.exceptions.ClientError as problem:
            if "does not exist" in str(problem):
                return None
            raise
        return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack

    def deployed(self) -> Deployed:
        stack = self.describe()
        if stack is None:
            raise Refusal(f"there is no stack {self.stack} in {self.session.region_name}")
        if not stack.get("Outputs"):
            raise Refusal(f"the stack {self.stack} is {stack['StackStatus']} and has no outputs")
        return Deployed.from_outputs(stack["Outputs"], self.endpoint or "")

    # Plans

    def plan(self, parameters: dict[str, str]) -> str | None:
        """A change set with the changes; None if there are none."""
        stack = self.describe()
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        # What an earlier deployment chose stays, unless chosen anew.
        for parameter in (stack or {}).get("Parameters", []):
            if parameter["ParameterKey"] not in parameters:
                given.append({"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True})
        made = self.formation.create_change_set(
            StackName=self.stack,
            ChangeSetName=f"cognitofs-{uuid.uuid4()}",
            ChangeSetType="UPDATE" if stack else "CREATE",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=given,
            Capabilities=["CAPABILITY_IAM"],
        )["Id"]
        try:
            self.formation.get_waiter("change_set_create_complete").wait(
                ChangeSetName=made, StackName=self.stack, WaiterConfig=WAIT
            )
        except botocore.exceptions.WaiterError:
            change_set = self.formation.describe_change_set(ChangeSetName=made, StackName=self.stack)
            reason = change_set.get("StatusReason", "no reason given")
            self.drop(made)
            if any(text in reason for text in NOTHING):
                return None
            raise Refusal(f"CloudFormation refuses the plan: {reason}") from None
        return made

    def changes(self, change_set: str) -> list[dict[str, Any]]:
        pages = self.formation.get_paginator("describe_change_set").paginate(
            ChangeSetName=change_set, StackName=self.stack
        )
        return [change["ResourceChange"] for page in pages for change in page["Changes"]]

    def drop(self, change_set: str) -> None:
        """Forgets the plan, and the empty stack that the first plan makes."""
        self.formation.delete_change_set(ChangeSetName=change_set, StackName=self.stack)
        if self.describe() is None:
            self.formation.delete_stack(StackName=self.stack)

    def execute(self, change_set: str) -> None:
        kind = "update" if self.describe() else "create"
        self.formation.execute_change_set(ChangeSetName=change_set, StackName=self.stack)
        try:
            self.formation.get_waiter(f"stack_{kind}_complete").wait(StackName=self.stack, WaiterConfig=WAIT)
        except botocore.exceptions.WaiterError:
            raise Refusal(f"it failed: {self.first_failure()}") from None

    def first_failure(self) -> str:
        events = self.formation.describe_stack_events(StackName=self.stack)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        if not failed:
            return "CloudFormation does not say why"
        return f"{failed[-1]['LogicalResourceId']}: {failed[-1].get('ResourceStatusReason', 'no reason given')}"

    # Taking down

    def refuse_to_lose(self, deployed: Deployed) -> None:
        """Says no while the stack holds somebody's files or accounts."""
        versions = self.client("s3").list_object_versions(Bucket=deployed.bucket, MaxKeys=1)
        if versions.get("Versions") or versions.get("DeleteMarkers"):
            raise Refusal(f"the bucket {deployed.bucket} holds objects, or old versions of some; nothing was changed")
        if self.client("cognito-idp").list_users(UserPoolId=deployed.user_pool_id, Limit=1)["Users"]:
            raise Refusal(f"the user pool {deployed.user_pool_id} holds users; nothing was changed")

    def destroy(self, deployed: Deployed) -> None:
        self.formation.delete_stack(StackName=self.stack)
        self.formation.get_waiter("stack_delete_complete").wait(StackName=self.stack, WaiterConfig=WAIT)
        # The template has CloudFormation keep these three, whatever happens to the stack. S3 itself refuses to delete a
        # bucket that is not empty.
        self.client("s3").delete_bucket(Bucket=deployed.bucket)
        self.client("cognito-identity").delete_identity_pool(IdentityPoolId=deployed.identity_pool_id)
        pools = self.client("cognito-idp")
        pools.update_user_pool(UserPoolId=deployed.user_pool_id, DeletionProtection="INACTIVE")
        pools.delete_user_pool(UserPoolId=deployed.user_pool_id)


def show(changes: list[dict[str, Any]]) -> None:
    for change in changes:
        replaced = change.get("Replacement", "")
        note = {"True": ", REPLACED", "Conditional": ", perhaps REPLACED"}.get(replaced, "")
        print(f"  {change['Action']:<8}{change['LogicalResourceId']:<20}{change['ResourceType']}{note}")


def agreed(question: str, options: argparse.Namespace) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise Refusal("nobody is there to ask; --yes says yes")
    return input(f"{question} [yes/no] ") == "yes"


def plan(account: Account, options: argparse.Namespace) -> int:
    change_set = account.plan(dict(options.set))
    if change_set is None:
        print("nothing to change")
        return 0
    show(account.changes(change_set))
    account.drop(change_set)
    return 0


def apply(account: Account, options: argparse.Namespace) -> int:
    change_set = account.plan(dict(options.set))
    if change_set is None:
        print("nothing to change")
    else:
        show(account.changes(change_set))
        owner = account.client("sts").get_caller_identity()["Account"]
        if not agreed(f"Do this in account {owner}, region {account.session.region_name}?", options):
            account.drop(change_set)
            return 1
        account.execute(change_set)
    return outputs(account, options)


def outputs(account: Account, options: argparse.Namespace) -> int:
    deployed = account.deployed()
    write_amplify_outputs(options.output, deployed)
    print(f"bucket         {deployed.bucket}")
    print(f"user pool      {deployed.user_pool_id}")
    print(f"app client     {deployed.app_client_id}")
    print(f"identity pool  {deployed.identity_pool_id}")
    print(f"written        {options.output}; next: cognitofs config import {options.output}")
    return 0


def destroy(account: Account, options: argparse.Namespace) -> int:
    deployed = account.deployed()
    account.refuse_to_lose(deployed)
    if not agreed(f"Delete the stack {account.stack} with its bucket {deployed.bucket} and its pools?", options):
        return 1
    account.destroy(deployed)
    print("gone")
    return 0


def parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text}: a parameter is written NAME=VALUE")
    return name, value


def parse(arguments: list[str]) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--stack", default=STACK_NAME, help=f"name of the stack ({STACK_NAME})")
    common.add_argument("--region", help="AWS region")
    common.add_argument("--profile", help="profile of the AWS command line's configuration")
    common.add_argument("--endpoint", help="another address for all of AWS, of an emulator")
    common.add_argument("--yes", action="store_true", help="don't ask")
    common.add_argument("--set", action="append", default=[], type=parameter, metavar="NAME=VALUE",
                        help="a parameter of the template, such as AppOrigin=https://photos.example.com")  # fmt: skip
    common.add_argument("--output", type=pathlib.Path, default=pathlib.Path("amplify_outputs.json"),
                        help="where the app's and the mount's configuration goes")  # fmt: skip
    parser = argparse.ArgumentParser(prog="scripts/provision", description="The stack of an app and a mount, on AWS.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, text in (
        (plan, "show what apply would change"),
        (apply, "show it, ask, do it, write amplify_outputs.json"),
        (outputs, "write amplify_outputs.json of the stack there is"),
        (destroy, "delete everything, unless it holds files or users"),
    ):
        commands.add_parser(run.__name__, parents=[common], help=text, description=text).set_defaults(run=run)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        return options.run(Account(options), options)
    except (Refusal, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as problem:
        print(f"provision: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
