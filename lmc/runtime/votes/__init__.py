"""How votes are counted: ballots, stopping rules, reducers, difficulty."""
