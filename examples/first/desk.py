"""A made-up forecast, and bookings that are only counted, for `helper.lmp`."""

from datetime import date

DRY = {"Bergen": False, "Lisbon": True}


def weather(city: str, day: date, unit: str) -> str:
    """The forecast for one day."""
    degrees = 14 + day.day % 7
    shown = f"{degrees} °C" if unit == "celsius" else f"{degrees * 9 // 5 + 32} °F"
    return f"{city} on {day}: {'dry' if DRY.get(city, True) else 'rain'}, {shown}"


class Desk:
    """The bookings of one run."""

    def __init__(self) -> None:
        self.bookings = 0

    def book(self, city: str, day: date, seats: int) -> str:
        self.bookings += 1
        return f"booking {self.bookings}: {seats} seats in {city} on {day}"
