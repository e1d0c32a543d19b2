"""
Capture: reads what training left behind: events, files, the environment, the model.

Nothing here runs the user's code or unpickles a model, and nothing is believed: what cannot be read is a
warning where training logged it, and an `InputError` where the configuration named it.
"""
