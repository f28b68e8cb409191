"""What is learnt from runs: demonstrations, hints, rounds of training, their health."""
