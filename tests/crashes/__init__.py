"""Processes that are killed, disks that fill, networks that are cut."""
