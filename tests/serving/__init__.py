"""The service, started as users start it and asked over HTTP."""
