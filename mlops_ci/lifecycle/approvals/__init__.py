"""Approvals: who must agree to a deployment, what they said, and whether it counts."""
