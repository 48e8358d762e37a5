"""The core of it as an ordinary user, through fusermount3: the same tests, another person."""

import os
import stat

import pytest

import test_attributes
import test_files
import test_moves
import test_names
import test_programs
from harness.child import eventually
from harness.person import People, shell
from harness.syscalls import write_all


@pytest.fixture(scope="module")
def space(aws, ordinary):
    """A mount that an ordinary user of the machine has made for themselves."""
    made = People(aws)
    try:
        mounted = made(uid=ordinary[0], gid=ordinary[1], mount__freshness=1).mount()
        mounted.people = made
        yield mounted
    finally:
        made.leave()


test_create_write_read = test_files.test_create_write_read
test_exclusive_creation = test_files.test_exclusive_creation
test_one_winner_of_an_exclusive_race = test_files.test_one_winner_of_an_exclusive_race
test_truncating_open = test_files.test_truncating_open
test_writes_in_any_order_match_a_model = test_files.test_writes_in_any_order_match_a_model
test_writers_of_a_mapping = test_files.test_writers_of_a_mapping
test_two_processes_append = test_files.test_two_processes_append
test_removed_while_open = test_files.test_removed_while_open
test_locks_between_processes = test_files.test_locks_between_processes
test_rename_over_existing = test_moves.test_rename_over_existing
test_rename_exchange = test_moves.test_rename_exchange
test_rename_of_a_directory_with_files = test_moves.test_rename_of_a_directory_with_files
test_symlink = test_moves.test_symlink
test_rmdir = test_moves.test_rmdir
test_special_files_are_refused = test_moves.test_special_files_are_refused
test_defaults = test_attributes.test_defaults
test_umask_and_mode_of_new_files = test_attributes.test_umask_and_mode_of_new_files
test_chmod = test_attributes.test_chmod
test_utimens = test_attributes.test_utimens
test_chown_to_nobody_else = test_attributes.test_chown_to_nobody_else
test_access_is_checked_by_the_mode = test_attributes.test_access_is_checked_by_the_mode
test_extended_attributes = test_attributes.test_extended_attributes
test_other_namespaces = test_attributes.test_other_namespaces
test_both_spellings_of_unicode = test_names.test_both_spellings_of_unicode
test_name_that_is_not_utf8 = test_names.test_name_that_is_not_utf8
test_sqlite = test_programs.test_sqlite
test_git = test_programs.test_git
test_appending_shell = test_programs.test_appending_shell


def test_a_write_clears_set_id_bits(here):
    """As the kernel's `default_permissions` and ext4: a write clears set-id bits."""
    write_all(here / "program", b"#!")
    os.chmod(here / "program", 0o6755)
    write_all(here / "program", b"more", flags=os.O_APPEND)
    assert not os.stat(here / "program").st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_mount_unmount_and_status_as_an_ordinary_user(people, ordinary, bucket):
    """As an ordinary user (fusermount3): mount in the background, status, plain fusermount3 -u, umount."""
    one = people(uid=ordinary[0], gid=ordinary[1])
    where = one.root / "m"
    where.mkdir()
    os.chown(where, *ordinary)
    one.run("mount", where, "--config", one.conf, check=True)
    shell(f"cd '{where}'; echo hello > file; ls -l; cat file", "/", **one.privileges)
    assert bucket.get(one.account.prefix + "file") == b"hello\n"
    assert str(where) in one.run("status", "--json", check=True).stdout
    shell(f"fusermount3 -u {where}", "/", **one.privileges)
    one.run("mount", where, "--config", one.conf, check=True)
    shell(f"cat '{where}/file'", "/", **one.privileges)
    one.run("umount", where, check=True)
    eventually(lambda: os.listdir(where) == [])


def test_other_user_without_permission(people, ordinary):
    """An ordinary user can't mount on a directory that is not theirs, and is told."""
    one = people(uid=ordinary[0], gid=ordinary[1])
    where = one.root / "of root"
    where.mkdir(mode=0o755)
    done = one.run("mount", where, "--config", one.conf)
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1


def test_killed_daemon_of_an_ordinary_user(people, ordinary):
    """A dead mount point is cleared by the next mount, as an ordinary user too."""
    one = people(uid=ordinary[0], gid=ordinary[1])
    mounted = one.mount()
    mounted.kill()
    again = one.mount(mounted.path)
    shell(f"cd '{again.path}'; echo x > a; cat a", "/", **one.privileges)
