"""What the server remembers of live pictures: each tab's newest, and not too many."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from tests.fakes.web import LIMITS, expected_image
from wuerst_demo.events import Result
from wuerst_demo.web.live.pictures import LivePictures
from wuerst_demo.web.shared.sessions import ClientTab

ME, YOU = ClientTab("me" * 10, "left"), ClientTab("you" * 10, "left")


def result(seed=7):
    request = LIMITS.request({"prompt": "a cat", "seed": seed})
    return Result(0, expected_image(request), request)


def test_a_tab_finds_its_two_newest_pictures_and_no_other_tabs():
    pictures = LivePictures()
    results = [result(seed) for seed in range(3)]
    ids = [pictures.add(ME, each) for each in results]
    assert [pictures.find(ME, id) for id in ids] == [None, *results[1:]]
    assert pictures.find(YOU, ids[2]) is None
    assert pictures.find(ClientTab(ME.owner, "right"), ids[2]) is None
    assert [pictures.find(ME, id) for id in (None, 3, "", [])] == [None] * 4


def test_the_pictures_of_the_longest_idle_tab_go_first():
    pictures = LivePictures(max_bytes=3 * 256 * 256 * 3)
    mine = [pictures.add(ME, result(seed)) for seed in (1, 2)]
    yours = pictures.add(YOU, result(3))
    assert pictures.find(ME, mine[1])
    newest = pictures.add(YOU, result(4))
    assert [pictures.find(ME, id) for id in mine] == [None, None]
    assert pictures.find(YOU, yours)
    assert pictures.find(YOU, newest)


def test_21_pictures_of_1024_pixels_fit_into_64_mib():
    pictures = LivePictures()
    large = replace(result(), image=Image.new("RGB", (1024, 1024)))
    clients = [ClientTab("me" * 10, str(k)) for k in range(22)]
    ids = [pictures.add(client, large) for client in clients[:21]]
    assert all(map(pictures.find, clients, ids))
    ids.append(pictures.add(clients[21], large))
    assert [bool(found) for found in map(pictures.find, clients, ids)] == [False] + [True] * 21
