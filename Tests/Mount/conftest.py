"""Fixtures of the mount tests, and the rule that every test body runs in a child with a deadline."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import child, places, sweep
from harness.aws import LocalAWS
from harness.person import People
from harness.proxy import Proxy


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("the mount tests are run by root: they make users, loop devices and mounts")


def pytest_terminal_summary(config):
    """The last lines tell of each failed test what was wrong, and not only its name."""
    config.get_terminal_writer().fullwidth = 240


CHANGES_THE_MACHINE = {"test_isolation", "test_mounting", "test_ordinary_user"}
"""Files whose tests need users or programs that this machine has only once."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Several workers share the run file by file; the files that change the machine go one after another."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "machine" if Path(file).stem in CHANGES_THE_MACHINE else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """The files that take longest begin, so that none of them runs alone at the end."""
    longest = ["test_crash", "test_lifetimes", "test_outage", "test_other_server", "test_names"]
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs the test's body in a child, as the person whose mount it uses."""
    marker = pyfuncitem.get_closest_marker("within")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    owner = pyfuncitem.funcargs.get("space")
    told = None
    try:
        child.call(
            lambda: pyfuncitem.obj(**arguments) and None,
            within=(marker.args[0] if marker else 30.0) * child.PATIENCE,
            describe=lambda _: describe_failure(pyfuncitem),
            before=owner.person.become if owner else None,
        )
    except child.Failed as failure:
        told = str(failure)
    # Not while the other is handled: both would be shown, one after the other.
    if told is not None:
        pytest.fail(told, pytrace=False)
    return True


def describe_failure(item):
    """What pytest would show of the exception, from the test's own line on, and before it what was wrong: a summary shows that."""
    caught = pytest.ExceptionInfo.from_current()
    caught.traceback = caught.traceback.cut(path=item.path)
    style = "short" if item.config.option.tbstyle == "short" else "long"
    complaint = caught.exconly(tryshort=True).split("\n", 1)[0]
    return f"{complaint}\n{caught.getrepr(style=style, abspath=False, chain=False)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the daemons' logs to the report of a test that failed."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            made = getattr(value, "people", value)
            if isinstance(made, People):
                report.sections += [(name, text) for name, text in made.logs().items()]


@pytest.fixture(scope="session")
def binary():
    return places.binary()


@pytest.fixture(scope="session")
def aws(binary):
    """One local AWS for the whole run; every test works with accounts of its own."""
    state = places.folder()
    local = LocalAWS(state, places.free_port())
    local.start()
    yield local
    local.stop()
    places.remove(state)


@pytest.fixture
def bucket(aws):
    """The app's bucket, as its owner sees it."""
    return aws.bucket


@pytest.fixture(scope="module")
def wire(aws):
    """A wire between the mounts of a module and the server, that notes requests and can fail."""
    folder = places.folder()
    proxy = Proxy(aws.port, folder)
    yield proxy
    proxy.close()
    places.remove(folder)


@pytest.fixture
def people(aws):
    """Persons for one test: `people()` is a new account, signed in."""
    made = People(aws)
    yield made
    made.leave()


@pytest.fixture
def person(people):
    return people()


@pytest.fixture(scope="module")
def space(aws):
    """A signed-in person's mount that the tests of a module share. `space.path` is the directory."""
    made = People(aws)
    try:
        mounted = made(mount__freshness=1).mount()
        mounted.people = made
        yield mounted
    finally:
        made.leave()


_numbers = itertools.count(1)


@pytest.fixture
def here(space, request):
    """A new directory of the test's own on the shared mount."""
    path = Path(space.path) / f"{next(_numbers)}-{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())[:50]}"
    child.call(os.mkdir, path, before=space.person.become)
    return path


@pytest.fixture(autouse=True)
def alone_on_the_machine(request):
    """Holds CHANGES_THE_MACHINE to what the tests ask for."""
    if {"ordinary", "installed"} & set(request.fixturenames):
        assert request.path.stem in CHANGES_THE_MACHINE


@pytest.fixture(scope="session")
def ordinary():
    """(uid, gid) of an ordinary user of this machine, made for the run."""
    name = f"cognitofs{os.getpid()}"
    subprocess.run(["useradd", "-M", "-d", "/nonexistent", "-s", "/bin/sh", "-U", name], check=True, capture_output=True)
    mode = os.stat("/dev/fuse").st_mode & 0o777
    os.chmod("/dev/fuse", 0o666)
    import pwd

    entry = pwd.getpwnam(name)
    yield entry.pw_uid, entry.pw_gid
    os.chmod("/dev/fuse", mode)
    subprocess.run(["userdel", "-f", name], capture_output=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    """After the run no mount of it may be left."""
    yield
    left = [entry[0] for folder in places.made for entry in sweep.mounts_below(folder)]
    assert not left, f"still mounted: {left}"
