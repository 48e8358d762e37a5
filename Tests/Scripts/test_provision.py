"""scripts/provision: shows before it does, and never deletes what belongs to somebody."""

import json

import pytest
from conftest import run


@pytest.fixture
def stack(local, tmp_path, request):
    """Calls scripts/provision for a stack of the test's own."""
    name = "s" + request.node.name.replace("_", "-")[:60]
    environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PATH": "/usr/bin:/bin"}

    def provision(verb, *more):
        return run(
            "provision", verb, "--stack", name, "--endpoint", local.endpoint, "--region", "us-east-1",
            "--set", "RequireTls=false", "--output", tmp_path / "amplify_outputs.json", *more, env=environment,
        )  # fmt: skip

    provision.outputs = lambda: json.loads((tmp_path / "amplify_outputs.json").read_text())
    return provision


def test_a_plan_makes_nothing(stack):
    planned = stack("plan")
    assert planned.returncode == 0, planned.stderr
    assert "AWS::S3::Bucket" in planned.stdout
    assert "there is no stack" in stack("outputs").stderr


def test_nothing_is_applied_without_a_yes(stack):
    assert "nobody is there to ask" in stack("apply").stderr
    assert "there is no stack" in stack("outputs").stderr


def test_apply_writes_what_the_app_reads_and_changes_nothing_twice(stack, local):
    applied = stack("apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    bucket = stack.outputs()["storage"]["bucket_name"]
    assert local.client("s3").head_bucket(Bucket=bucket)
    assert "nothing to change" in stack("plan").stdout


def test_a_bucket_with_objects_or_old_versions_is_not_destroyed(stack, local):
    stack("apply", "--yes")
    bucket, s3 = stack.outputs()["storage"]["bucket_name"], local.client("s3")
    s3.put_object(Bucket=bucket, Key="private/x/images/a.jpg", Body=b"picture")
    assert "holds objects" in stack("destroy", "--yes").stderr
    s3.delete_object(Bucket=bucket, Key="private/x/images/a.jpg")
    assert "holds objects" in stack("destroy", "--yes").stderr
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1


def test_a_pool_with_users_is_not_destroyed(stack, local):
    stack("apply", "--yes")
    pool = stack.outputs()["auth"]["user_pool_id"]
    local.client("cognito-idp").admin_create_user(UserPoolId=pool, Username="ann@example.com", MessageAction="SUPPRESS")
    assert "holds users" in stack("destroy", "--yes").stderr


def test_destroy_leaves_nothing(stack, local):
    stack("apply", "--yes")
    bucket = stack.outputs()["storage"]["bucket_name"]
    destroyed = stack("destroy", "--yes")
    assert destroyed.returncode == 0, destroyed.stderr
    assert bucket not in [entry["Name"] for entry in local.client("s3").list_buckets()["Buckets"]]
    assert "there is no stack" in stack("outputs").stderr
