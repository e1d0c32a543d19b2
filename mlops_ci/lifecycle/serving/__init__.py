"""
A version's service on this machine: prepared, started as a child of the command, asked, measured.

The same files as everywhere are rendered, and kept below the state folder by their digest, together with the
environments that they run in, so that a second start prepares nothing. What outlives the command is the business of
`targets.local`; a model is loaded by its service alone, never here.
"""
