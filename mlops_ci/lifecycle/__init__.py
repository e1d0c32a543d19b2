"""
The use cases, one file each: what the command line and CI do, told in terms of the rooms below.

They return what happened and raise errors of `mlops_ci.errors`; showing it is the business of `cli`.
"""
