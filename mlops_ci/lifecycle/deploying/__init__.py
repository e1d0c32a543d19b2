"""
Deploying: plan, ask policy, apply, wait, verify, record; and back to what served before, where that fails.

What is deployed to is the business of `targets`; who must agree, that of `approvals`.
"""
