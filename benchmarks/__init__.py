"""The figures that the README quotes, each against a peer. `./dev bench` runs `benchmarks.run`."""
