"""What follows of a CI event: which use case runs, by whose rules, and how GitHub is told."""
