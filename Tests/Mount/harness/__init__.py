"""What the tests of the mounted file system share: a local AWS, people, mounts, pictures, faults.

A mount that hangs must fail a test, never the run. So no file of a mount is touched by the process
that runs pytest: each test body runs in a child with a deadline (`child`), and what is left behind is
found and removed from outside (`sweep`).
"""
