"""The peers' services, each as its documentation writes one; `benchmarks/servers.py` starts them."""
