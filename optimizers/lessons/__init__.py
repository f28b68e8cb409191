"""Learning from runs: demonstrations, hints, rounds of training, and checks of their health."""
