"""The use cases, over real ledgers and stores."""
