"""Measures mounts of S3 beside each other: same server, same bytes, same run, one after another in turns.

Each measured step starts from a new daemon. Cold means an empty cache folder; "from the disk cache" means that folder
kept over a remount, with the kernel's pages of its files dropped. The server stays warm. Everything that was read is
compared by SHA-256, everything that was written is read back from the server: a wrong byte is a failure, not a time.
"""
