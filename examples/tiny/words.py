"""The vocabulary of the generators: nouns by category, names, things, and words used as labels."""

from __future__ import annotations

from collections.abc import Callable
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS: dict[str, tuple[str, ...]] = {
    "animal": _words(
        "cat dog horse cow sheep goat pig rabbit mouse lion tiger bear wolf fox deer monkey "
        "elephant zebra camel duck goose eagle owl frog snake whale shark bee ant spider"
    ),
    "fruit": _words(
        "apple pear plum grape lemon orange banana cherry peach mango melon fig kiwi lime "
        "apricot date coconut papaya berry quince"
    ),
    "vegetable": _words(
        "potato carrot onion cabbage spinach celery lettuce pepper radish turnip leek bean pea "
        "pumpkin cucumber garlic"
    ),
    "tool": _words(
        "hammer saw drill wrench pliers chisel shovel rake axe knife screwdriver ladder file "
        "clamp spade hoe crowbar trowel"
    ),
    "clothing": _words(
        "shirt coat hat scarf glove sock shoe boot dress skirt jacket sweater belt tie vest "
        "trousers cap robe"
    ),
    "vehicle": _words(
        "car bus train truck bike boat ship plane tram taxi van scooter canoe tractor rocket "
        "ferry sled"
    ),
    "furniture": _words(
        "chair table sofa bed desk shelf bench stool cupboard wardrobe couch dresser cradle "
        "armchair bookcase"
    ),
    "instrument": _words(
        "piano guitar violin drum flute trumpet harp cello organ banjo clarinet oboe tuba "
        "fiddle accordion"
    ),
    "body": _words(
        "arm leg head hand foot knee elbow nose ear eye mouth finger shoulder neck back thumb "
        "chin ankle"
    ),
    "city": _words(
        "London Paris Rome Berlin Madrid Vienna Oslo Prague Tokyo Delhi Cairo Lima Boston "
        "Dublin Lisbon Athens Warsaw Seoul"
    ),
    "drink": _words(
        "water tea coffee milk juice beer wine cocoa soda lemonade cider punch broth smoothie"
    ),
    "job": _words(
        "teacher doctor nurse baker farmer pilot lawyer painter plumber cook judge driver "
        "tailor butcher dentist waiter miner"
    ),
    "color": _words(
        "red blue green yellow black white brown pink purple grey violet beige crimson turquoise"
    ),
    "weather": _words(
        "rain snow wind storm fog hail sun cloud thunder frost drizzle breeze mist sleet"
    ),
    "sport": _words(
        "football tennis golf rugby hockey boxing rowing chess cricket skiing judo surfing "
        "cycling fencing baseball"
    ),
}
FEELINGS: dict[str, tuple[str, ...]] = {
    "good": _words(
        "great lovely wonderful excellent superb pleasant perfect delightful fine brilliant"
    ),
    "bad": _words("awful terrible poor horrible dreadful nasty broken boring rude useless"),
}
NAMES = _words(
    "Ana Ben Carl Dora Emma Finn Gina Hugo Iris Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina "
    "Uwe Vera Will Yara Zoe Adam Bella Cora Dan Eva Frank Greta Hans Ivan Julia Karl Lena Max "
    "Nina Oscar Peter"
)
THINGS = _words(
    "lamp kettle radio phone camera watch printer toaster keyboard tent bottle mirror clock "
    "blender heater router vase blanket pillow carpet basket candle drone monitor speaker fan "
    "oven fridge backpack wallet umbrella helmet mixer tablet charger globe puzzle"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COUNTED = _words("apples pens books coins stamps cards eggs shells marbles cups nuts keys")
CONTAINERS = _words("bags boxes jars trays bowls packs")

LABELS = _words(
    "alpha beta gamma delta omega sigma north south east west red blue green amber silver gold "
    "copper iron oak pine birch maple cedar river lake hill stone cloud ember flint north_wing "
    "falcon raven robin sparrow crane tulip rose lily daisy fern moss clay sand amber_room "
    "yes no up down left right high low hot cold in out one two three four first second third "
    "A B C D X Y Z P Q R K1 K2 T1 T2 team_a team_b desk_1 desk_2 desk_3 group_x group_y front "
    "upper lower inner outer open closed keep drop accept reject urgent normal later now plus "
    "minus square circle star cross moon comet mars venus saturn apollo zeus atlas orion lotus "
    "tango salsa jazz polka rock opera cube cone ring key lock gate tower castle bridge tunnel "
    "island beach forest desert meadow valley canyon glacier spring summer autumn winter dawn "
    "noon dusk pepper salt basil mint sage ginger vanilla almond walnut olive butter honey"
)
UNSEEN_LABELS = _words(
    "heron otter lynx badger harbor quarry granite marble cobalt indigo scarlet jasmine orchid "
    "juniper willow thunderbird nimbus zephyr quartz topaz onyx waltz banjo_room mill_lane "
    "annex depot attic cellar studio chapel pier dock lantern anchor compass sextant"
)
ALL_WORDS = (
    *(noun for nouns in NOUNS.values() for noun in nouns),
    *(word for words in FEELINGS.values() for word in words),
    *NAMES,
    *THINGS,
    *DAYS,
    *COUNTED,
    *CONTAINERS,
    *LABELS,
)
_ONSETS = _words("b d f g k l m n p r s t v z br dr gl kr pl st tr sh ch")
_VOWELS = _words("a e i o u")
_CODAS = ("", "", "", "n", "r", "l", "m", "x", "p", "t", "sk")


def pseudo_word(rng: Random) -> str:
    """Make up a pronounceable word of two or three syllables."""
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 2, 2)))]
    return "".join(parts) + rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)


def draw_labels(rng: Random, count: int, unseen: bool = False) -> tuple[str, ...]:
    """Draw distinct label words: from the held-out list where `unseen`, else from the others."""
    if unseen:
        return tuple(rng.sample(UNSEEN_LABELS, count))
    kind = rng.random()
    if kind < 0.45:
        return tuple(rng.sample(LABELS, count))
    # Made-up and joined words force a model to copy a label's letters, whatever they are.
    if kind < 0.9:
        return _distinct(rng, count, pseudo_word if kind < 0.75 else _joined_word)
    stem = rng.choice(("desk", "team", "group", "room", "class", "bin", pseudo_word(rng)))
    numbers = rng.sample(range(1, 10), count)
    return tuple(f"{stem}_{n}" for n in numbers)


def _distinct(rng: Random, count: int, draw: Callable[[Random], str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    while len(found) < count:
        word = draw(rng)
        if word not in UNSEEN_LABELS:
            found[word] = None
    return tuple(found)


def _joined_word(rng: Random) -> str:
    parts = (rng.choice(THINGS), rng.choice(LABELS), pseudo_word(rng))
    first, second = rng.sample(parts, 2)
    cut = rng.randint(2, 4)
    return rng.choice(
        (first[:cut] + second, first + rng.choice(("", "_")) + second, second[cut:] + first)
    )
