"""Rendering: every glyph exists, scenes are reproducible, and places and times look as they should."""

from functools import cache
from random import Random

import numpy as np
import pytest

from wuerst_demo.training.data.render import EMOJI_FONT, render
from wuerst_demo.training.data.scenes import Item, Scene, sample_scene
from wuerst_demo.training.data.vocabulary import COLOURS, GROUND_COLOURS, PLACES, SKY_COLOURS, THINGS, TIMES

needs_font = pytest.mark.skipif(not EMOJI_FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
WIDTH, HEIGHT = 240, 200
DETAILS = range(16)
LIGHT = {
    "day": (1.0, 1.0, 1.0),
    "rain": (0.7, 0.7, 0.7),
    "sunset": (0.72 * 1.12, 0.72 * 0.9, 0.72 * 0.8),
    "night": (0.38 * 0.85, 0.38 * 0.92, 0.38 * 1.25),
    "stars": (0.46 * 0.85, 0.46 * 0.92, 0.46 * 1.25),
}
"""What is left of red, green and blue."""
CAT = next(thing for thing in THINGS if thing.name == "cat")


@cache
def pixels(place, time="", detail=1, items=(), size=(WIDTH, HEIGHT)):
    return np.asarray(render(Scene(items, place, time, detail), *size)).astype(int)


def lit(colour, time):
    return [min(255, int(each * factor)) for each, factor in zip(colour, LIGHT[time], strict=True)]


def discs(place, time, colour):
    """Centre and radius of the disc of a colour, as shares of width, height and height, for each of DETAILS."""
    found = []
    for detail in DETAILS:
        ys, xs = np.nonzero((pixels(place, time, detail) == colour).all(-1))
        radius = (np.ptp(ys) + 1) / 2 / HEIGHT
        found.append(((xs.min() + xs.max() + 1) / 2 / WIDTH, (ys.min() + ys.max() + 1) / 2 / HEIGHT, radius))
    return np.array(found)


def assert_between(values, least, most, tolerance=0.012):
    """Values keep to a range and make use of it."""
    assert values.min() >= least - tolerance
    assert values.max() <= most + tolerance
    assert np.ptp(values) >= 0.6 * (most - least) - tolerance


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plain_background_is_a_little_lighter_at_the_top(colour):
    image = pixels(colour)
    assert image[0, 0].tolist() == [min(255, int(each * 1.04)) for each in COLOURS[colour]]
    assert image[-1, -1].tolist() == [int(each * 0.94) for each in COLOURS[colour]]
    assert np.ptp(image, axis=1).max() == 0
    steps = np.abs(np.diff(image[:, 0], axis=0))
    assert steps.max() <= 1


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("place", ["beach", "sea"])
def test_the_ground_has_the_light_of_its_time(place, time):
    image = pixels(place, time, size=(WIDTH, 1000))
    bottom = image[-2].tolist()
    assert bottom.count(lit(GROUND_COLOURS[place], time)) > 0.8 * WIDTH  # of the rest are drops


@pytest.mark.parametrize("time", TIMES)
def test_the_sky_goes_from_its_upper_to_its_lower_colour_at_the_horizon(time):
    rows = np.median([pixels("sea", time, detail) for detail in DETAILS], axis=(0, 2))
    upper, lower = SKY_COLOURS[time]
    assert np.abs(rows[0] - upper).max() <= 3
    horizon = rows[int(0.41 * HEIGHT)]
    assert np.abs(horizon - lower).max() < np.abs(np.subtract(lower, upper)).max() * 0.2 + 6
    assert time == "rain" or np.abs(np.diff(rows[: int(0.4 * HEIGHT)], axis=0)).max() <= 6  # there are clouds


@pytest.mark.parametrize(("place", "least", "most"), [("sea", 0.42, 0.52), ("city", 0.5, 0.6)])
def test_the_horizon_is_near_the_middle_and_lower_before_land(place, least, most):
    ground = lit(GROUND_COLOURS[place], "day")
    tops = [np.argmax((pixels(place, "day", detail) == ground).all(-1).any(1)) / HEIGHT for detail in DETAILS]
    assert_between(np.array(tops), least, most)


def test_the_sun_of_a_day_is_high_at_one_side():
    x, y, radius = discs("desert", "day", (255, 232, 110)).T
    assert np.median(y) == pytest.approx(0.12, abs=0.003)  # of some, clouds hide a part
    assert np.median(radius) == pytest.approx(0.06, abs=0.003)
    assert ((x > 0.07) & (x < 0.26) | (x > 0.74) & (x < 0.93)).all()
    assert (x < 0.5).any()
    assert (x > 0.5).any()


def test_the_setting_sun_is_large_and_low():
    x, y, radius = discs("sea", "sunset", (255, 222, 120)).T
    assert_between(x, 0.15, 0.85)
    assert y.min() > 0.33  # its lower part may be behind the horizon
    assert radius.max() == pytest.approx(0.09, abs=0.01)


def test_the_moon_is_anywhere_in_the_upper_sky():
    x, y, radius = discs("desert", "night", (244, 240, 214)).T
    assert_between(x, 0.1, 0.9)
    assert_between(y, 0.08, 0.2)
    assert np.allclose(radius, 0.055, atol=0.01)


def test_a_planet_and_stars_are_in_space():
    x, y, radius = discs("space", "", (196, 120, 84)).T
    assert_between(x, 0.1, 0.9)
    assert_between(y, 0.08, 0.3)
    assert_between(radius, 0.05, 0.1)
    rows = np.median([pixels("space", "", detail) for detail in DETAILS], axis=(0, 2))
    assert np.abs(rows[0] - (6, 4, 22)).max() <= 1
    assert np.abs(rows[-1] - (30, 14, 58)).max() <= 1


@pytest.mark.parametrize(
    ("place", "time", "colour", "count", "radius_px", "lowest"),
    [
        ("space", "", (255, 255, 236), 70, (0.8, 1.8), 1.0),
        ("desert", "night", (255, 255, 236), 28, (0.8, 1.8), 0.5),
        ("desert", "stars", (255, 250, 214), 60, (1.25, 3.25), 0.55),
    ],
)
def test_stars_are_small_and_many_above_the_ground(place, time, colour, count, radius_px, lowest):
    areas = []
    for detail in DETAILS:
        stars = (np.abs(pixels(place, time, detail) - colour) <= 20).all(-1)
        areas.append(stars.sum())
        assert not stars[int((lowest + 0.03) * HEIGHT) :].any()
        assert lowest == 1 or stars[: int(lowest * HEIGHT)].any()
    expected = [count * np.pi * each**2 for each in radius_px]
    assert 0.35 * expected[0] < np.mean(areas) < 1.1 * expected[1]


def test_snow_falls_in_small_flakes_by_day_only():
    falling = [(pixels("snow", time, 3)[: HEIGHT // 2] == 255).all(-1).sum() for time in ("day", "sunset", "night")]
    assert falling[0] > 20 < falling[1]
    assert falling[2] == 0
    assert max(falling) < 40 * np.pi * (0.01 * HEIGHT) ** 2


def test_drops_of_rain_slant_to_the_left_all_over_the_image():
    drops = (pixels("sea", "rain", 5) == (206, 220, 236)).all(-1)
    per_drop = drops.sum() / (WIDTH * HEIGHT // 1100)
    assert 5 < per_drop < 14
    assert drops[: HEIGHT // 2].any()
    assert drops[HEIGHT // 2 :].any()
    down, left, right = ((drops[:-3] & np.roll(drops, shift, 1)[3:]).sum() for shift in (0, 1, -1))
    assert left > right
    assert down > 0


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("place", sorted(PLACES))
def test_every_landscape_has_its_own_look_and_a_light_like_its_time(place, time):
    if place == "space":
        return
    image = pixels(place, time)
    ground = image[int(0.8 * HEIGHT) :].reshape(-1, 3)
    expected = np.array(lit(GROUND_COLOURS[place], time))
    assert np.abs(np.median(ground, axis=0) - expected).max() <= 0.12 * 255
    assert np.abs(image - pixels(place, time, 2)).max() > 20  # details differ


def test_mountains_are_of_stone_with_snow_on_top():
    image = np.array([pixels("mountains", "day", detail) for detail in DETAILS])
    band = image[:, int(0.25 * HEIGHT) : int(0.5 * HEIGHT)].reshape(-1, 3)
    snow = (np.abs(band - (248, 250, 255)) <= 2).all(1).mean()
    stone = (np.ptp(band, axis=1) < 25) & (np.abs(band.mean(1) - 129) < 28)
    assert 0.02 < snow < 0.2
    assert 0.2 < stone.mean() < 0.8
    assert not (np.abs(image[:, : int(0.1 * HEIGHT)] - (122, 124, 142)) <= 10).all(-1).any()


@pytest.mark.parametrize(("time", "pane"), [("day", (214, 232, 244)), ("night", (252, 226, 130))])
def test_a_city_has_towers_with_windows_that_are_lit_in_the_dark(time, pane):
    shares = [(pixels("city", time, detail) == pane).all(-1).mean() for detail in DETAILS]
    assert 0.01 < np.mean(shares) < 0.12
    walls = [lit(each, time) for each in ((150, 128, 118), (120, 134, 152), (168, 154, 136))]
    image = np.array([pixels("city", time, detail) for detail in DETAILS])
    for wall in walls:
        assert (image == wall).all(-1).mean() > 0.03
    assert not any((image[:, int(0.62 * HEIGHT) :] == wall).all(-1).any() for wall in walls)


def test_a_city_has_a_dashed_line_in_its_street():
    image = pixels("city", "day", size=(240, 400))
    dash = (image == (240, 240, 220)).all(-1)
    rows = np.flatnonzero(dash.any(1)) / 400
    assert (rows.min(), rows.max()) == pytest.approx((0.9, 0.915), abs=0.005)
    middle = dash[int(0.907 * 400)]
    assert middle.mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(np.diff(middle.astype(int))).sum() == pytest.approx(12, abs=1)


def test_waves_of_the_sea_are_lighter_arcs():
    light = [min(255, int(each * 1.25)) for each in lit(GROUND_COLOURS["sea"], "day")]
    image = np.array([pixels("sea", "day", detail) for detail in DETAILS])
    foam = (image == light).all(-1)
    assert 0.002 < foam.mean() < 0.04
    ys = np.nonzero(foam)[1] / HEIGHT
    assert ys.min() > 0.43
    assert ys.max() > 0.9


def test_the_sea_shows_behind_a_beach():
    sea = lit(GROUND_COLOURS["sea"], "day")
    for detail in DETAILS:
        rows = np.flatnonzero((pixels("beach", "day", detail) == sea).all(-1).mean(1) > 0.9) / HEIGHT
        assert 0.06 < np.ptp(rows) < 0.1
        assert 0.4 < rows.min() < 0.52


@needs_font
@pytest.mark.parametrize(("time", "light"), [("rain", 0.88), ("sunset", 0.9), ("night", 0.72), ("stars", 0.78)])
def test_things_are_darker_and_bluer_when_there_is_less_light(time, light):
    item = (Item(CAT, 0.5, 0.5, 128),)
    day, dark = (pixels("sea", each, 1, item, (256, 256)) for each in ("day", time))
    bare, bare_dark = (pixels("sea", each, 1, (), (256, 256)) for each in ("day", time))
    cat = (day != bare).any(-1) & (dark != bare_dark).any(-1)
    inside = cat & np.roll(cat, 4, 0) & np.roll(cat, -4, 0) & np.roll(cat, 4, 1) & np.roll(cat, -4, 1)
    expected = (day * (light, light, min(1.0, light * 1.12))).astype(int)
    assert (np.abs(dark - expected)[inside] <= 1).all(-1).mean() > (0.8 if time == "rain" else 0.97)


@needs_font
def test_a_thing_has_a_soft_shadow_on_the_ground_and_none_on_water_or_paper():
    item = (Item(CAT, 0.5, 0.5, 128),)
    left, top, side = item[0].square(256, 256)
    for place, time, shadowed in (("grass", "day", True), ("sea", "day", False), ("blue", "", False)):
        image, bare = (pixels(place, time, 1, each, (256, 256)) for each in (item, ()))
        below = (bare - image).max(-1)[top + side : top + side + 12, left : left + side]
        assert (below.max() > 20) == shadowed, place
        assert below.max() < 0.4 * 255
        assert not (bare != image)[top + side + 16 :].any()
        assert not (bare != image)[:, : left - 4].any()


@needs_font
@pytest.mark.parametrize("colour", COLOURS)
def test_a_painted_thing_has_shades_of_its_colour(colour):
    plain, painted = (
        pixels("white" if colour != "white" else "black", "", 1, (Item(CAT, 0.5, 0.5, 128, "", each),), (256, 256))
        for each in ("", colour)
    )
    cat = (plain != painted).any(-1)
    assert cat.sum() > 3000
    shades = painted[cat].astype(float)
    assert np.abs(np.median(shades, axis=0) - COLOURS[colour]).max() < 50
    assert shades.std() > 4


@needs_font
def test_every_thing_has_a_glyph_of_its_own():
    bare = np.asarray(render(Scene((), "blue", "", 1), 64, 64))
    seen = set()
    for thing in THINGS:
        picture = render(Scene((Item(thing, 0.5, 0.5, 64),), "blue", "", 1), 64, 64)
        assert (np.asarray(picture) != bare).any(-1).sum() > 300, thing.name
        seen.add(picture.tobytes())
    assert len(seen) == len(THINGS), "two things look alike"


@needs_font
def test_a_scene_is_always_rendered_the_same():
    scene = sample_scene(Random(7))
    assert render(scene, 384, 256).tobytes() == render(scene, 384, 256).tobytes()


@pytest.mark.parametrize("time", TIMES)
def test_every_time_changes_the_sky(time):
    other = "night" if time == "day" else "day"
    skies = [
        np.asarray(render(Scene((), "grass", each, 1), 128, 128), float)[:40].mean((0, 1)) for each in (time, other)
    ]
    assert np.abs(skies[0] - skies[1]).max() > 25
