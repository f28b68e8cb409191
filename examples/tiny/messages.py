"""Short customer messages with a known topic, mood, thing, person and order number."""

from __future__ import annotations

from random import Random

from examples.tiny.words import DAYS, NAMES, THINGS
from lmc.frozen import frozen

TOPICS: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged twice for the {thing}.",
        "The invoice for my {thing} shows the wrong amount.",
        "Why did you take {n} euros for the {thing} from my card?",
        "The bill of {day} is too high.",
        "My payment for the {thing} was taken two times.",
        "I need a receipt for the {thing} I paid for.",
        "The price on the bill of the {thing} is not what you said.",
    ),
    "delivery": (
        "My {thing} has not arrived yet.",
        "The parcel with the {thing} is late since {day}.",
        "Where is the package with my {thing}?",
        "The courier left the {thing} at the wrong house.",
        "Tracking says the {thing} comes on {day}, but nothing came.",
        "When will you ship the {thing}?",
        "The box with the {thing} got lost on the way.",
    ),
    "login": (
        "I cannot log in to my account.",
        "My password does not work since {day}.",
        "The site says my user name is unknown.",
        "I forgot my password, please reset it.",
        "My account is locked after {n} tries.",
        "The code to sign in never comes.",
        "I want to change the email of my account.",
    ),
    "fault": (
        "The {thing} stopped working on {day}.",
        "My new {thing} does not turn on.",
        "The {thing} makes a loud noise.",
        "The {thing} came with a crack.",
        "My {thing} is broken.",
        "There is smoke coming out of the {thing}.",
        "The {thing} worked for {n} days and then died.",
    ),
    "return": (
        "I want to send the {thing} back.",
        "How do I return the {thing}?",
        "The {thing} is too small, can I exchange it?",
        "Please refund the {thing}, I do not need it.",
        "I changed my mind about the {thing} and want my money back.",
        "Can I swap the {thing} for a bigger one?",
        "The {thing} is the wrong size, I would like to return it.",
    ),
    "stock": (
        "Do you have the {thing} in blue?",
        "Is the {thing} in stock?",
        "When can I buy the {thing} again?",
        "Do you sell a bigger {thing}?",
        "How many of the {thing} are left?",
        "Will the {thing} be sold in shops?",
        "Is there a newer model of the {thing}?",
    ),
    "visit": (
        "Are you open on {day}?",
        "When does the shop close on {day}?",
        "Where can I park near the shop?",
        "Can I come by at {n} on {day}?",
        "What is the address of the shop?",
        "I would like to book a visit on {day}.",
        "Is the shop open at night?",
    ),
    "cancel": (
        "Please cancel my order of the {thing}.",
        "I no longer want the {thing}, stop the order.",
        "I ordered the {thing} by mistake, please cancel.",
        "Can you stop my plan from {day}?",
        "Please end my subscription.",
        "I want to cancel the plan I took on {day}.",
        "Cancel the {thing} before it is sent.",
    ),
}
OPENERS = {
    "angry": (
        "This is a disgrace!",
        "I am furious.",
        "I have had enough.",
        "What a terrible service!",
        "Unbelievable!",
    ),
    "happy": (
        "You are all great!",
        "I love your shop.",
        "So far I am very happy.",
        "What a lovely team!",
        "Well done so far.",
    ),
    "worried": (
        "I am a bit worried.",
        "I am not sure what to do.",
        "I hope this is not a problem.",
        "I am afraid I need help.",
        "This makes me nervous.",
    ),
    "calm": ("Hello.", "Good morning.", "Dear team,", "Hi there.", "A short question."),
}
CLOSERS = {
    "angry": (
        "Fix it now!",
        "I will never buy here again.",
        "This is the last time!",
        "Shame on you.",
    ),
    "happy": ("Thank you so much!", "Keep it up!", "You are the best.", "With a big smile."),
    "worried": (
        "Please tell me it will be fine.",
        "I hope you can help.",
        "I do not know what else to do.",
        "Please write soon.",
    ),
    "calm": ("Regards.", "Best wishes.", "Thank you.", "Yours."),
}
TOPIC_NAMES = tuple(TOPICS)
MOODS = tuple(OPENERS)
_REFERENCES = (
    "My order number is {order}.",
    "Order {order}.",
    "It is about order {order}.",
    "Reference {order}.",
)
_SIGNATURES = ("{name}", "Yours, {name}", "This is {name}.", "My name is {name}.", "{name} here.")


@frozen
class Letter:
    """A message and what is true of it; what the text does not mention is empty."""

    text: str
    topic: str
    mood: str
    thing: str
    name: str
    order: str


def draw_letter(
    rng: Random, topic: str | None = None, mood: str | None = None, full: bool = False
) -> Letter:
    """Write a message; with `full`, mood, thing, name and order number are all in the text."""
    topic, mood = topic or rng.choice(TOPIC_NAMES), mood or rng.choice(MOODS)
    thing, name, order = rng.choice(THINGS), rng.choice(NAMES), f"{rng.randrange(100, 1000)}"
    lines = TOPICS[topic]
    core = rng.choice([x for x in lines if "{thing}" in x] or lines) if full else rng.choice(lines)
    parts = [core]
    if full or rng.random() < 0.4:
        parts.insert(0, rng.choice(OPENERS[mood]))
    if full or rng.random() < 0.2:
        parts.append(rng.choice(_REFERENCES))
    if full or rng.random() < 0.2:
        parts.append(rng.choice(CLOSERS[mood]))
    if full or rng.random() < 0.2:
        parts.append(rng.choice(_SIGNATURES))
    template = " ".join(parts)
    text = template.format(
        thing=thing, name=name, order=order, day=rng.choice(DAYS), n=rng.randrange(2, 20)
    )
    return Letter(
        text,
        topic,
        mood,
        thing if "{thing}" in template else "",
        name if "{name}" in template else "",
        order if "{order}" in template else "",
    )
