"""
Databases: files of SQLite's, and servers of PostgreSQL's, MySQL's and MariaDB's; all that differs between them.

`engines` opens what a URL names, `faults` says what an error means, `text` makes text the same everywhere. Which
tables there are, and what is asked of them, is the business of others.
"""
