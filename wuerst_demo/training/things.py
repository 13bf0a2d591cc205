"""What the cocktail's pictures are made of: things (a glyph and its names), places, times of day and colours.

Only a table; drawing is in `drawing`, captions are in `scenes`. The things are in the order in which a small run takes
them: training on N things takes the first N.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """One glyph of the emoji font. `names` are everyday words for it, the usual one first."""

    glyph: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.names[0]


def _things(*rows: str) -> tuple[Thing, ...]:
    """From rows of 'glyph name, name, ...'."""
    return tuple(Thing(row[0], tuple(name.strip() for name in row[1:].split(","))) for row in rows)


THINGS = _things(
    "🐈 cat, kitten, kitty",
    "🐕 dog, puppy",
    "🐇 rabbit, bunny, hare",
    "🐘 elephant",
    "🦊 fox",
    "🐼 panda",
    "🐧 penguin",
    "🦉 owl",
    "🐸 frog, toad",
    "🐟 fish",
    "🐙 octopus",
    "🦋 butterfly",
    "🦄 unicorn",
    "🤖 robot",
    "👻 ghost",
    "⛄ snowman",
    "🍎 apple",
    "🍓 strawberry",
    "🍕 pizza, slice of pizza",
    "🌭 hot dog, sausage, hotdog",
    "🍦 ice cream, soft ice",
    "🌵 cactus",
    "🌻 sunflower",
    "🌳 tree, oak",
    "🚗 car, automobile",
    "🚒 fire engine, fire truck",
    "🚀 rocket, spaceship",
    "⛵ sailboat, boat, sailing boat",
    "🏠 house, home",
    "🏰 castle",
    "🎈 balloon",
    "❤ heart",
    "🐎 horse, pony",
    "🐖 pig, piglet",
    "🦆 duck",
    "🐝 bee, honeybee",
    "🦖 dinosaur, t-rex",
    "👸 princess, queen",
    "🎅 santa, santa claus",
    "🍌 banana",
    "🍔 burger, hamburger",
    "🎂 cake, birthday cake",
    "🚂 train, locomotive, steam engine",
    "🎸 guitar",
    "⏰ clock, alarm clock",
    "👑 crown",
    "⭐ star",
    "😀 smiley, happy face",
    "🐄 cow, cattle",
    "🐑 sheep, lamb",
    "🐅 tiger",
    "🦁 lion",
    "🐻 bear, teddy bear",
    "🐳 whale",
    "🦀 crab",
    "🐌 snail",
    "🐢 turtle, tortoise",
    "👮 police officer, policeman, cop",
    "👷 builder, construction worker",
    "👽 alien",
    "🍉 watermelon, melon",
    "🍩 donut, doughnut",
    "🍄 mushroom, toadstool",
    "🥕 carrot",
    "🌴 palm tree, palm",
    "🌹 rose",
    "🌷 tulip, flower",
    "🚌 bus",
    "🚜 tractor",
    "🚲 bicycle, bike",
    "🚁 helicopter",
    "⛺ tent",
    "☂ umbrella, parasol",
    "📕 book",
    "🔑 key",
    "💡 light bulb, lamp",
    "🎁 gift, present",
    "⚽ ball, football, soccer ball",
    "🎩 hat, top hat",
    "📷 camera",
)

PLACES: dict[str, tuple[str, ...]] = {
    "grass": ("on the grass", "in a meadow", "on a green field", "in the park", "on a lawn"),
    "beach": ("on the beach", "at the beach", "on the sand by the sea"),
    "snow": ("in the snow", "on snow", "in winter", "in a snowy landscape"),
    "sea": ("on the sea", "in the ocean", "on the water"),
    "desert": ("in the desert", "on a sand dune"),
    "mountains": ("in the mountains", "in front of mountains"),
    "city": ("in the city", "in town", "on a city street"),
    "space": ("in space", "in outer space", "among the stars"),
}
"""Place -> the ways to say that something is there."""

TIMES: dict[str, tuple[str, ...]] = {
    "day": ("by day", "during the day", "on a sunny day", "in daylight"),
    "night": ("at night", "by night", "on a dark night", "under the moon"),
    "sunset": ("at sunset", "at dusk", "in the evening", "under an orange sky"),
}
"""Time of day -> the ways to say so. Space and plain backgrounds have none."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 138, 32),
    "yellow": (250, 208, 50),
    "green": (56, 160, 70),
    "blue": (45, 100, 220),
    "purple": (130, 60, 180),
    "pink": (245, 130, 180),
    "brown": (130, 82, 45),
    "black": (28, 28, 32),
    "white": (245, 245, 245),
    "grey": (136, 138, 142),
    "turquoise": (50, 190, 190),
}
"""Name -> sRGB, for plain backgrounds and for painted things."""
