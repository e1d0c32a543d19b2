"""Looking at runs: found, compared, exported."""
