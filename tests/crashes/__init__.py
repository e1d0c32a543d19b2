"""Processes that are killed, and networks that are cut; disks that fill are in tests/cli/test_disks.py."""
