"""Captions: random phrasings of a scene. Every statement of a caption is true; parts may be left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.vocabulary import PLACES, STYLES, TIMES

NUMBER_WORDS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "": ("",), "big": ("big", "large", "huge")}
OPENINGS = ("a picture of ", "an image of ", "a drawing of ", "there is ", "a photo of ", "")
UNCOUNTABLE = ("sheep", "fish", "cattle", "sunglasses", "grapes", "fries", "chips", "scissors", "broccoli")
IRREGULAR_PLURALS = {"mouse": "mice", "loaf": "loaves", "wolf": "wolves"}


@dataclass(frozen=True)
class CaptionOptions:
    """Constraints on the phrasing."""

    sides: bool | None = None  #: State the arrangement of two things: always, never, or at random (None).
    second_names: bool = False  #: Use the other names of things.


def caption(scene: Scene, rng: Random, fillers: Sequence[str] = (), options: CaptionOptions | None = None) -> str:
    """A random caption of the scene. Some of them contain `fillers`, words without a meaning here, so that unknown
    words in a prompt do little harm."""
    what, where = _subject_phrase(scene, rng, options or CaptionOptions()), _place_phrase(scene, rng)
    when = rng.choice(TIMES[scene.time]) if scene.time and (scene.time != "day" or rng.random() < 0.4) else ""
    if rng.random() < 0.15:
        plain_time = scene.time if scene.time != "day" else ""
        place = scene.place if scene.place in PLACES else rng.choice((f"{scene.place} background", scene.place))
        text = ", ".join(part for part in (what, place, plain_time) if part)
    elif rng.random() < 0.12 and when:
        text = f"{when}, {what} {where}".strip()
    else:
        text = " ".join(part for part in (what, where, when) if part)
    if scene.style:
        style = rng.choice(STYLES[scene.style])
        last = f"{text} {style}" if style.startswith("in ") else f"{text} in the style of {style}"
        text = rng.choice((f"{text}, {style}", f"{style}, {text}", last, f"{style}: {text}"))
    elif rng.random() < 0.12:
        text = rng.choice(OPENINGS) + text
    if rng.random() < 0.12:
        text = rng.choice((text.capitalize(), text.upper(), text + ".", text + "!", text.title()))
    if fillers and rng.random() < 0.15:
        words = text.split(" ")
        for _ in range(rng.choice((1, 1, 2, 3))):
            words.insert(rng.randrange(len(words) + 1), rng.choice(fillers))
        text = " ".join(words)
    return text


def _subject_phrase(scene: Scene, rng: Random, options: CaptionOptions) -> str:
    first = scene.items[0]
    if scene.kind == "alike":
        number = rng.choice(NUMBER_WORDS[len(scene.items)])
        return " ".join(part for part in (number, first.colour, plural(rng.choice(first.thing.names))) if part)
    phrases = [_item_phrase(item, rng, options) for item in {item.thing.name: item for item in scene.items}.values()]
    if len(phrases) == 1:
        return phrases[0]
    if scene.kind == "crowd":
        rng.shuffle(phrases)
        return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    a, b = phrases
    listed = [f"{a} and {b}", f"{a} with {b}"]  # in reading order, as the things are arranged
    if scene.column:
        related = [f"{a} above {b}", f"{b} below {a}", f"{a} over {b}", f"{b} under {a}", f"{a} above and {b} below"]
    else:
        related = [f"{a} to the left of {b}", f"{a} left of {b}", f"{b} to the right of {a}", f"{b} right of {a}"]
        related.append(f"{a} on the left and {b} on the right")
        listed += [f"{a} next to {b}", f"{a} beside {b}"]
    stated = rng.random() < 0.7 or scene.column if options.sides is None else options.sides
    return rng.choice(related if stated else listed)


def _item_phrase(item: Item, rng: Random, options: CaptionOptions) -> str:
    name = item.thing.name if rng.random() < 0.6 else rng.choice(item.thing.names)
    if options.second_names and len(item.thing.names) > 1:
        name = rng.choice(item.thing.names[1:])
    words = " ".join(part for part in (rng.choice(SIZE_WORDS[item.word]), item.colour, name) if part)
    article = rng.random()
    if article < 0.72:
        return f"{'an' if words[0] in 'aeiou' and not words.startswith(('uni', 'ufo')) else 'a'} {words}"
    return f"the {words}" if article < 0.82 else words


def plural(name: str) -> str:
    """The plural of a thing's name, such as "puppies" or "cups of coffee"."""
    head, of, rest = name.partition(" of ")
    if of:
        return plural(head) + of + rest
    if name in UNCOUNTABLE:
        return name
    if name in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith("man"):
        return name[:-3] + "men"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def _place_phrase(scene: Scene, rng: Random) -> str:
    colour = scene.place
    if colour in PLACES:
        return rng.choice(PLACES[colour])
    article = "an" if colour[0] in "aeiou" else "a"
    wall = f"in front of {article} {colour} wall"
    return rng.choice((f"on {article} {colour} background", f"on {colour}", wall, f"{colour} background"))
