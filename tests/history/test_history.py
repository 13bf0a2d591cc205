"""A history shows the pictures of a folder as they are, whatever becomes of its index."""

import os
import shutil
import sqlite3
from datetime import datetime

import pytest

from tests.history.fakes import album, picture
from wuerst_demo.errors import InvalidRequest, StorageError
from wuerst_demo.history.history import LONGEST_SEARCH, Held, History
from wuerst_demo.metadata import from_png

INDEX = ".wuerst-index/index.sqlite"


def names(history, **asked):
    """The numbers of the pictures on a page, which stand behind "seed" in their names."""
    return [int(each.path.stem.partition("seed")[2]) for each in history.page(**asked).pictures]


def id_of(history, number):
    return next(each.id for each in history.page().pictures if each.path.stem.endswith(f"seed{number}"))


def refusal(act, *args, kind=StorageError):
    with pytest.raises(kind) as caught:
        act(*args)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "!"))
    return message


@pytest.fixture
def root(tmp_path):
    album(tmp_path / "outputs", ["a cat on a mat", "a dog", "a red fox", "a fox and a Würstchen"])
    return tmp_path / "outputs"


@pytest.fixture
def history(root):
    history = History(root)
    assert history.look() == Held(4, 0)
    return history


def test_pictures_are_shown_newest_first(history, root):
    album(root, ["the day before"], "2026-11-23")
    picture(root / "20261125-080000-seed99.png", "of the command line")
    history.look()
    assert names(history) == [99, 3, 2, 1, 0, 0]


def test_names_that_are_no_text_are_left_alone(history, root):
    for odd in (b"bild\xfc.png", b"alt\xfc"):
        path = os.path.join(os.fsencode(root), odd)
        if odd.endswith(b".png"):
            shutil.copy(history.page().pictures[0].path, path)
        else:
            os.mkdir(path)
    album(root, ["a later one"], "2026-11-26")
    assert history.look() == Held(5, 0)
    assert len(names(history)) == 5


def test_a_finished_picture_is_kept_byte_for_byte_in_the_folder_of_its_day(tmp_path):
    made = picture(tmp_path / "session" / "20261124-235959-seed7.png", "a cat")
    history = History(tmp_path / "outputs")
    kept = history.keep(made, datetime(2026, 11, 25, 0, 0, 1))
    assert kept == tmp_path / "outputs" / "2026-11-25" / "20261124-235959-seed7.png"
    assert kept.read_bytes() == made.read_bytes()
    assert history.keep(made, datetime(2026, 11, 25)) != kept
    assert history.look() == Held(2, 0)


def test_a_folder_that_is_not_there_is_an_empty_history_and_is_not_made(tmp_path):
    history = History(tmp_path / "none")
    assert history.look() == Held(0, 0)
    assert history.page().pictures == ()
    assert not (tmp_path / "none").exists()


def test_the_words_of_a_search_may_stand_in_any_order_and_be_begun_only(history):
    assert names(history, search="fox") == [3, 2]
    assert names(history, search="FOX red") == [2]
    assert names(history, search="wurst") == names(history, search="würst") == [3]
    assert names(history, search="ox") == []
    assert names(history, search="  ") == [3, 2, 1, 0]


def test_a_negative_prompt_is_found_too(history, root):
    picture(root / "20261125-000000-seed9.png", "a bird", negative="blurry")
    history.look()
    assert names(history, search="blurry") == [9]


@pytest.mark.parametrize(
    "search",
    ['"', "*", "fox*", "fox OR dog", "NOT fox", "prompt:fox", "fox'); DROP TABLE pictures;--", "(fox", "fox)", "^fox",
     "NEAR(fox dog)", "{prompt}", "fox\0dog", "\ud800", "-fox", "+", '"fox', "' OR 1=1", "%", "_", "fox AND"],
)  # fmt: skip
def test_nothing_in_a_search_is_an_order(history, search):
    for each in history.page(search=search).pictures:
        prompt = from_png(each.path).values["prompt"].lower()
        words = [word.strip("\"*'();-{}^+%_\ud800") for word in search.replace("\0", " ").lower().split()]
        assert all(part in prompt for word in words for part in word.replace(":", " ").split())
    assert names(history) == [3, 2, 1, 0]


def test_an_operator_of_the_index_is_a_word_like_any_other(history, root):
    picture(root / "20261125-000000-seed9.png", 'to be OR not "to" be, (C++) 100%')
    history.look()
    for search in ("OR", '"to"', "(100%)", "100%", "not OR"):
        assert names(history, search=search) == [9]


def test_emoji_and_other_scripts_are_found(history, root):
    picture(root / "20261125-000000-seed9.png", "🐈 नमस्ते دنيا")
    history.look()
    for search in ("🐈", "नमस्", "دنيا"):
        assert names(history, search=search) == [9]


def test_a_search_that_is_too_long_gets_a_sentence(history):
    assert "100,000" in refusal(lambda: history.page("x" * 100_000), kind=InvalidRequest)
    assert names(history, search="f" * LONGEST_SEARCH) == []


def test_pages_follow_one_another_without_a_gap(history, root):
    album(root, ["a fox"] * 10, "2026-11-20")
    history.look()
    for asked in ({}, {"search": "fox"}):
        seen, page = [], history.page(**asked, count=5)
        while True:
            seen += page.pictures
            if page.older is None:
                break
            page = history.page(**asked, count=5, before=page.older)
        assert seen == list(history.page(**asked, count=100).pictures)
        assert len(seen) == {0: 14, 1: 12}[len(asked)]


def test_a_favourite_stays_one_when_the_index_is_lost(history, root):
    for number in (0, 2):
        history.mark(id_of(history, number), True)
    history.mark(id_of(history, 0), False)
    assert names(history, favourites=True) == [2]
    assert names(history, favourites=True, search="cat") == []
    shutil.rmtree(root / INDEX.split("/")[0])
    anew = History(root)
    anew.look()
    assert names(anew, favourites=True) == [2]


def test_a_favourite_touches_nothing_in_the_pictures_file(history):
    kept = history.picture(id_of(history, 1))
    before = kept.path.stat(), kept.path.read_bytes()
    assert history.mark(kept.id, True).favourite
    assert history.picture(kept.id).favourite
    assert (kept.path.stat().st_mtime_ns, kept.path.read_bytes()) == (before[0].st_mtime_ns, before[1])


def test_a_deleted_picture_is_gone_from_folder_and_history(history, root):
    kept = history.picture(id_of(history, 1))
    history.mark(kept.id, True)
    history.delete(kept.id)
    assert not kept.path.exists()
    assert [each.name for each in root.rglob("*.favourite")] == []
    assert names(history) == [3, 2, 0]
    assert "no longer in the folder" in refusal(history.picture, kept.id)
    history.delete(kept.id)  # twice is once
    assert history.look() == Held(3, 0)


@pytest.mark.parametrize("number", [0, -1, 2**62, 2**63 - 1])
def test_a_number_that_no_picture_has_gets_a_sentence(history, number):
    assert "no longer in the folder" in refusal(history.picture, number)
    assert "no longer in the folder" in refusal(history.mark, number, True)


# ------------------------------------------------------------------------------------------ behind the index's back


def test_files_that_are_deleted_added_and_replaced_behind_its_back_are_shown_as_they_are(history, root):
    day = root / "2026-11-24"
    (day / "20261124-120001-seed1.png").unlink()
    picture(day / "20261124-120002-seed2.png", "now an owl", size=20)
    assert names(history) == [3, 0], "what is not as the index knows it is not shown"
    picture(day / "20261124-130000-seed8.png", "new")
    (day / "20261124-120003-seed3.png.favourite").touch()
    assert history.look() == Held(4, 0)
    assert names(history) == [8, 3, 2, 0]
    assert names(history, search="owl") == [2]
    assert names(history, favourites=True) == [3]
    shutil.rmtree(day)
    assert names(history) == []
    assert history.look() == Held(0, 0)


def test_a_picture_that_is_deleted_between_two_looks_gets_a_sentence(history):
    kept = history.picture(id_of(history, 2))
    kept.path.unlink()
    for act in (history.picture, lambda id: history.mark(id, True)):
        assert "no longer in the folder" in refusal(act, kept.id)
    assert names(history) == [3, 1, 0]


def test_foreign_files_are_counted_and_left_alone(history, root):
    day = root / "2026-11-24"
    (day / "notes.txt").write_text("kept")
    (day / "zip.png").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    (day / "empty.png").touch()
    (day / "folder.png").mkdir()
    (day / "deep" / "deeper").mkdir(parents=True)
    picture(day / "deep" / "hidden-seed5.png")
    (root / "elsewhere.png").symlink_to(picture(root.parent / "secret" / "x-seed6.png"))
    (root / "linked").symlink_to(root.parent / "secret")
    before = {path for path in root.rglob("*") if ".wuerst-index" not in str(path)}
    assert history.look() == Held(4, 2)
    assert history.look() == Held(4, 2)
    assert names(history) == [3, 2, 1, 0]
    assert {path for path in root.rglob("*") if ".wuerst-index" not in str(path)} == before


def test_a_name_in_the_index_never_leads_out_of_the_folder(history, root):
    outside = picture(root.parent / "secret-seed1.png")
    for folder, name in (("..", outside.name), ("", "../" + outside.name), ("", str(outside))):
        with sqlite3.connect(root / INDEX) as sql:
            sql.execute("UPDATE pictures SET folder = ?, name = ? WHERE prompt = 'a dog'", (folder, name))
            (id,) = sql.execute("SELECT id FROM pictures WHERE prompt = 'a dog'").fetchone()
        sql.close()
        for act in (history.picture, history.delete):
            assert "no longer in the folder" in refusal(act, id)
    assert outside.exists()


# ---------------------------------------------------------------------------------------------------- a lost index


@pytest.mark.parametrize("harm", ["missing", "nonsense", "torn", "empty", "other form", "other tables"])
def test_an_index_that_is_missing_or_broken_is_made_again(history, root, harm):
    history.mark(id_of(history, 2), True)
    index = root / INDEX
    match harm:
        case "missing":
            index.unlink()
        case "nonsense":
            index.write_bytes(b"not a database at all" * 1000)
        case "torn":
            index.write_bytes(index.read_bytes()[:5000])
        case "empty":
            index.write_bytes(b"")
        case "other form":
            with sqlite3.connect(index) as sql:
                sql.execute("PRAGMA user_version = 999")
            sql.close()
        case "other tables":
            index.unlink()
            with sqlite3.connect(index) as sql:
                sql.execute("CREATE TABLE pictures (a)")
            sql.close()
    for each in (history, History(root)):
        assert each.look() == Held(4, 0)
        assert names(each) == [3, 2, 1, 0]
        assert names(each, favourites=True) == [2]
        assert names(each, search="fox") == [3, 2]


def test_an_index_that_breaks_between_two_looks_is_made_again(history, root):
    (root / INDEX).write_bytes(b"x" * 9000)
    assert names(history) == [3, 2, 1, 0]
    (root / INDEX).write_bytes(b"x" * 9000)
    assert "no longer" in refusal(history.picture, 5)


def test_a_place_for_the_index_that_is_taken_costs_only_the_index(root):
    (root / INDEX.split("/")[0]).write_text("somebody's file")
    history = History(root)
    held = history.look()
    assert (held.pictures, held.others) == (4, 0)
    assert names(history, search="fox") == [3, 2]
    history.mark(id_of(history, 2), True)
    assert names(history, favourites=True) == [2]
    (root / INDEX.split("/")[0]).unlink()
    assert history.look() == Held(4, 0)
    assert names(history, favourites=True) == [2]


def test_two_servers_use_one_history(root):
    one, other = History(root), History(root)
    assert one.look() == other.look() == Held(4, 0)
    one.mark(id_of(one, 1), True)
    assert names(other, favourites=True) == [1]
    other.delete(id_of(other, 3))
    assert names(one) == [2, 1, 0]
    one.keep(picture(root.parent / "new" / "20261125-000000-seed9.png", "new"), datetime(2026, 11, 25))
    other.look()
    assert names(one) == names(other) == [9, 2, 1, 0]


def test_an_index_that_another_program_holds_gets_a_sentence_and_works_again_when_it_lets_go(root):
    history = History(root, lambda place: sqlite3.connect(place, timeout=0, isolation_level=None))
    history.look()
    with sqlite3.connect(root / INDEX, isolation_level=None) as sql:
        sql.execute("BEGIN EXCLUSIVE")
        assert "busy with this history" in refusal(history.look)
        assert "busy with this history" in refusal(history.page)
        sql.execute("COMMIT")
    sql.close()
    assert names(history) == [3, 2, 1, 0]


# ------------------------------------------------------------------------------------- folders that take nothing


@pytest.fixture
def nobody(root):
    """Somebody who may write nowhere, though the tests may run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("users as Unix has them")
    before = os.geteuid()
    for each in (*root.parents, root):
        if str(each).startswith("/tmp/"):
            each.chmod(0o755)
    if before == 0:
        os.seteuid(65534)
    else:
        for each in (root, root / "2026-11-24"):
            each.chmod(0o555)
    yield
    if before == 0:
        os.seteuid(0)
    for each in (root, root / "2026-11-24"):
        each.chmod(0o755)


def test_a_folder_that_cannot_be_written_to_is_shown_with_a_sentence_and_nothing_is_lost(root, nobody):
    history = History(root)
    held = history.look()
    assert (held.pictures, held.others) == (4, 0)
    assert "cannot be written to" in held.notice
    assert names(history, search="fox") == [3, 2]
    id = id_of(history, 2)
    assert "cannot be noted" in refusal(history.mark, id, True)
    assert "cannot be deleted" in refusal(history.delete, id)
    assert "choose another folder" in refusal(history.keep, root / "2026-11-24" / "20261124-120002-seed2.png")
    assert names(history) == [3, 2, 1, 0]


def test_a_file_in_place_of_the_folder_gets_a_sentence(history, root):
    moved = root.rename(root.parent / "moved")
    root.write_text("a file now")
    assert "choose another" in refusal(history.look)
    assert "choose another" in refusal(history.keep, moved / "2026-11-24" / "20261124-120002-seed2.png")
    root.unlink()
    moved.rename(root)
    assert history.look() == Held(4, 0)


def test_a_disk_without_room_for_the_index_costs_only_the_index(root):
    def full(place):
        sql = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
        if place != ":memory:":
            sql.execute("PRAGMA max_page_count = 3")  # SQLite's own full disk
        return sql

    history = History(root, full)
    held = history.look()
    assert (held.pictures, held.others) == (4, 0)
    assert "is full" in held.notice
    history.mark(id_of(history, 1), True)
    assert names(history, favourites=True) == [1]
    assert History(root).look() == Held(4, 0)
