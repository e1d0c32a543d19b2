"""The store, member by member of its room."""
