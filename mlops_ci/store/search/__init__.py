"""
Runs by a filter, in an order, page by page; and what queries return. Loaded by the first query.

What a filter may say is the business of `filters`, which knows no database.
"""
