"""What people would say of a scene: `caption` puts one into words, differently each time.

Every part of a scene that is put into words is put truly; parts may be left out. Does not know pictures or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from wuerst_demo.training.scenes import Item, Scene
from wuerst_demo.training.things import PLACES, STYLES, TIMES

NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}

ODD_PLURALS = {"mouse": "mice", "loaf": "loaves", "wolf": "wolves"}


@dataclass(frozen=True)
class Say:
    """What a caption has to say: which of two things is where (always, never, or None: as it comes), and things by
    their second names."""

    sides: bool | None = None
    second_names: bool = False


def caption(scene: Scene, rng: Random, fillers: Sequence[str] = (), say: Say | None = None) -> str:
    """One of the many ways to describe `scene`. `fillers` are words without a meaning here, strewn in now and then so
    that an unknown word in a prompt is no disturbance."""
    what, where = _what(scene, rng, say or Say()), _where(scene, rng)
    when = rng.choice(TIMES[scene.time]) if scene.time and (scene.time != "day" or rng.random() < 0.4) else ""
    if rng.random() < 0.15:
        plain_time = scene.time if scene.time != "day" else ""
        text = ", ".join(part for part in (what, _place_word(scene, rng), plain_time) if part)
    elif rng.random() < 0.12 and when:
        text = f"{when}, {what} {where}".strip()
    else:
        text = " ".join(part for part in (what, where, when) if part)
    if scene.style:
        text = _styled(text, rng.choice(STYLES[scene.style]), rng)
    elif rng.random() < 0.12:
        text = rng.choice(("a picture of ", "an image of ", "a drawing of ", "there is ", "a photo of ", "")) + text
    if rng.random() < 0.12:
        text = rng.choice((text.capitalize(), text.upper(), text + ".", text + "!", text.title()))
    if fillers and rng.random() < 0.15:
        words = text.split(" ")
        for _ in range(rng.choice((1, 1, 2, 3))):
            words.insert(rng.randrange(len(words) + 1), rng.choice(fillers))
        text = " ".join(words)
    return text


def _styled(text: str, style: str, rng: Random) -> str:
    last = f"{text} {style}" if style.startswith("in ") else f"{text} in the style of {style}"
    return rng.choice((f"{text}, {style}", f"{style}, {text}", last, f"{style}: {text}"))


def _what(scene: Scene, rng: Random, say: Say) -> str:
    first = scene.items[0]
    if scene.kind == "alike":
        number = rng.choice(NUMBERS[len(scene.items)])
        return " ".join(part for part in (number, first.colour, plural(rng.choice(first.thing.names))) if part)
    different = {item.thing.name: item for item in scene.items}.values()
    phrases = [_phrase(item, rng, say) for item in different]
    if len(phrases) == 1:
        return phrases[0]
    if scene.kind == "crowd":
        rng.shuffle(phrases)
        return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    a, b = phrases
    # things that a caption only lists stand in its order, as one would read them
    together = [f"{a} and {b}", f"{a} with {b}"]
    if scene.column:
        related = [f"{a} above {b}", f"{b} below {a}", f"{a} over {b}", f"{b} under {a}", f"{a} above and {b} below"]
    else:
        related = [
            f"{a} to the left of {b}",
            f"{a} left of {b}",
            f"{b} to the right of {a}",
            f"{b} right of {a}",
            f"{a} on the left and {b} on the right",
        ]
        together += [f"{a} next to {b}", f"{a} beside {b}"]
    said = rng.random() < 0.7 or scene.column if say.sides is None else say.sides
    return rng.choice(related if said else together)


def _phrase(item: Item, rng: Random, say: Say) -> str:
    name = item.thing.name if rng.random() < 0.6 else rng.choice(item.thing.names)
    if say.second_names and len(item.thing.names) > 1:
        name = rng.choice(item.thing.names[1:])
    size = rng.choice({"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}.get(item.word, ("",)))
    words = " ".join(part for part in (size, item.colour, name) if part)
    article = rng.random()
    if article < 0.72:
        return f"{'an' if words[0] in 'aeiou' and not words.startswith(('uni', 'ufo')) else 'a'} {words}"
    return f"the {words}" if article < 0.82 else words


def plural(name: str) -> str:
    """Several of a thing: "puppies", "cups of coffee"."""
    head, of, rest = name.partition(" of ")
    if of:
        return plural(head) + of + rest
    if name in ("sheep", "fish", "cattle", "sunglasses", "grapes", "fries", "chips", "scissors", "broccoli"):
        return name
    if name in ODD_PLURALS:
        return ODD_PLURALS[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith("man"):
        return name[:-3] + "men"
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")


def _where(scene: Scene, rng: Random) -> str:
    if scene.place in PLACES:
        return rng.choice(PLACES[scene.place])
    colour = scene.place
    article = "an" if colour[0] in "aeiou" else "a"
    return rng.choice(
        (
            f"on {article} {colour} background",
            f"on {colour}",
            f"in front of {article} {colour} wall",
            f"{colour} background",
        )
    )


def _place_word(scene: Scene, rng: Random) -> str:
    return scene.place if scene.place in PLACES else rng.choice((f"{scene.place} background", scene.place))
