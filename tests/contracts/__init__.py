"""One suite per family of interchangeable parts; every member passes it."""
