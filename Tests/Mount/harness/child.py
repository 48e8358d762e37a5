"""Runs a function in a child process that is given up when it takes too long."""

import faulthandler
import os
import pickle
import select
import signal
import sys
import tempfile
import time
import traceback


PATIENCE = 3
"""How often the time that an idle machine needs is waited for, at most: other tests, or a build, run beside this one."""


class Failed(Exception):
    """The child's own account of what went wrong."""


class Hung(Failed):
    """The child did not end in time; carries where it was."""


after_fork = []
"""Called in each child before the body: connections must not be shared with the parent."""


_in_a_child = False


def call(body, *arguments, within=30.0, describe=None, before=None):
    """Runs `body(*arguments)` in a child and returns its (picklable) result.

    Raises `Failed` with the child's traceback, or `Hung` after `within` seconds. `before` runs first in the
    child, to give up privileges. `describe(exception)` may render the failure.
    """
    reader, writer = os.pipe()
    stacks = tempfile.TemporaryFile("w+")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _be_outermost(within, stacks)
            try:
                for step in after_fork:
                    step()
                if before:
                    before()
                answer = (True, body(*arguments))
            except BaseException as error:
                answer = (False, describe(error) if describe else traceback.format_exc())
            payload = pickle.dumps(answer)
            with os.fdopen(writer, "wb") as out:
                out.write(payload)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    received = _read_until(reader, time.monotonic() + within)
    os.close(reader)
    if received is not None:
        reap(pid)
        _end_what_it_started(pid)
    else:
        end_group(pid)
        stacks.seek(0)
        raise Hung(f"not done after {within:g} s; it was here:\n{stacks.read()}")
    if not received:
        raise Failed("the child ended without a word")
    well, value = pickle.loads(received)
    if not well:
        raise Failed(value)
    return value


def _be_outermost(within, stacks):
    """Begins a process group, and has the stack written down just before the time is over.

    Only in a child of the test run itself: what a child starts ends with it, and the watchdog's lock does not survive
    another fork.
    """
    global _in_a_child
    if not _in_a_child:
        _in_a_child = True
        os.setpgid(0, 0)
        faulthandler.dump_traceback_later(max(within - 0.5, 0.1), file=stacks)


def end_group(pid):
    """Kills a child and what it started, and does not wait for what cannot die."""
    _end_what_it_started(pid)
    os.kill(pid, signal.SIGKILL)
    reap(pid)


def _end_what_it_started(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def reap(pid, within=5.0):
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:
            return True
        time.sleep(0.005)
    return False


def _read_until(descriptor, limit):
    parts = []
    while True:
        left = limit - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


class Background:
    """A function that runs beside the test in a process of its own.

    `result()`, once, waits for it; `interrupt()` sends it what Ctrl-C sends.
    """

    def __init__(self, body, *arguments):
        self._reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._reader)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for step in after_fork:
                    step()
                try:
                    answer = (True, body(*arguments))
                except BaseException as error:
                    # What was wrong first: a summary shows one line.
                    complaint = "".join(traceback.format_exception_only(error)).split("\n", 1)[0]
                    answer = (False, f"{complaint}\n{traceback.format_exc()}")
                with os.fdopen(writer, "wb") as out:
                    pickle.dump(answer, out)
            finally:
                os._exit(0)
        os.close(writer)

    def interrupt(self):
        os.kill(self.pid, signal.SIGINT)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        reap(self.pid)

    def running(self):
        return not select.select([self._reader], [], [], 0)[0]

    def result(self, within=30.0):
        received = _read_until(self._reader, time.monotonic() + within * PATIENCE)
        os.close(self._reader)
        if received is None:
            self.kill()
            raise Hung(f"a background step was not done after {within:g} s")
        reap(self.pid)
        if not received:
            raise Failed("a background step ended without a word")
        well, value = pickle.loads(received)
        if not well:
            raise Failed(value)
        return value


def eventually(condition, within=10.0, every=0.05):
    """Waits until `condition()` is true and returns its value; the last exception or value is the complaint."""
    limit = time.monotonic() + within * PATIENCE
    while True:
        try:
            value, complaint = condition(), None
        except (AssertionError, OSError) as error:
            value, complaint = None, error
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"not so within {within:g} s: {complaint or value!r}")
        time.sleep(every)
