"""The tools of `shop.lmp`."""

PRICES = {"lamp": 24.0, "kettle": 31.5, "umbrella": 12.0}


def price(thing: str) -> float:
    """The price of a thing in euros. Raises: ValueError where the shop does not sell it."""
    if thing not in PRICES:
        raise ValueError(f"we do not sell {thing}; we sell {', '.join(PRICES)}")
    return PRICES[thing]
