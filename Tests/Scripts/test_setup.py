"""scripts/setup, scripts/test and scripts/quickstart, as far as they can be tried without building."""

import os
import subprocess

import pytest
from conftest import ROOT, run


def test_setup_finds_nothing_to_do_the_second_time():
    assert run("setup").returncode == 0
    assert run("setup").stdout == "setup: everything is there\n"


@pytest.mark.parametrize("script", ["setup", "build", "test", "quickstart"])
def test_an_unknown_option_is_refused_by_name(script):
    wrong = run(script, "--colour")
    assert wrong.returncode == 1
    assert "unknown option --colour" in wrong.stderr


@pytest.mark.parametrize("script", ["setup", "build", "test", "quickstart"])
def test_help_names_each_option(script):
    shown = run(script, "--help")
    assert shown.returncode == 0
    assert f"scripts/{script} [--" in shown.stdout


def test_quickstart_leaves_the_configuration_of_another_app_alone(tmp_path):
    conf = tmp_path / "cognitofs" / "mount.conf"
    conf.parent.mkdir()
    conf.write_text('[app]\nbucket = "mine"\n')
    refused = run("quickstart", "--dir", tmp_path / "drive", env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)})
    assert refused.returncode == 1
    assert "belongs to another app" in refused.stderr
    assert conf.read_text() == '[app]\nbucket = "mine"\n'


@pytest.mark.parametrize(
    "cases, accepted",
    [
        ("<testcase name='a'/>", True),
        ("", False),
        ("<testcase name='a'/><testcase name='b'><skipped/></testcase>", False),
    ],
)
def test_a_run_without_tests_or_with_skipped_ones_is_no_success(tmp_path, cases, accepted):
    results = tmp_path / "results.xml"
    results.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    (tmp_path / "test-count").write_text("# least\nswift 1\n")
    script = tmp_path / "test_counts.py"
    script.write_text((ROOT / "scripts/test_counts.py").read_text())
    counted = subprocess.run(["python3", script, "swift", results], capture_output=True, timeout=30)
    assert (counted.returncode == 0) == accepted
