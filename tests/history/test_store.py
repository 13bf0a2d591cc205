"""The history shows the images of a folder as they are, whatever happens to its index."""

import os
import shutil
import sqlite3
from datetime import datetime

import pytest

from tests.fakes.history import write_album, write_image
from wuerst_demo.errors import InvalidRequest, StorageError
from wuerst_demo.history.store import MAX_SEARCH_CHARS, HistoryStore, HistorySummary
from wuerst_demo.images.metadata import read_image_settings

INDEX = ".wuerst-index/index.sqlite"


def names(history, **query):
    """Seeds of the images on a page, from their file names."""
    return [int(each.path.stem.partition("seed")[2]) for each in history.page(**query).images]


def id_of(history, number):
    return next(each.id for each in history.page().images if each.path.stem.endswith(f"seed{number}"))


def error_message(act, *args, kind=StorageError):
    with pytest.raises(kind) as caught:
        act(*args)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "!"))
    return message


@pytest.fixture
def root(tmp_path):
    write_album(tmp_path / "outputs", ["a cat on a mat", "a dog", "a red fox", "a fox and a Würstchen"])
    return tmp_path / "outputs"


@pytest.fixture
def history(root):
    history = HistoryStore(root)
    assert history.refresh() == HistorySummary(4, 0)
    return history


def test_images_are_listed_newest_first(history, root):
    write_album(root, ["the day before"], "2026-11-23")
    write_image(root / "20261125-080000-seed99.png", "of the command line")
    history.refresh()
    assert names(history) == [99, 3, 2, 1, 0, 0]


def test_file_names_that_are_not_text_are_ignored(history, root):
    for odd in (b"bild\xfc.png", b"alt\xfc"):
        path = os.path.join(os.fsencode(root), odd)
        if odd.endswith(b".png"):
            shutil.copy(history.page().images[0].path, path)
        else:
            os.mkdir(path)
    write_album(root, ["a later one"], "2026-11-26")
    assert history.refresh() == HistorySummary(5, 0)
    assert len(names(history)) == 5


def test_images_of_one_second_and_one_modification_time_are_all_listed(root):
    for number in range(3):
        path = write_image(root / f"20261130-120000-seed{number}.png", "of one second", seed=number)
        os.utime(path, (1_800_000_000, 1_800_000_000))
    history = HistoryStore(root)
    assert history.refresh() == HistorySummary(7, 0)
    assert sorted(names(history, search="second")) == [0, 1, 2]
    assert len({each.id for each in history.page().images}) == 7


def test_an_image_is_copied_byte_for_byte_into_the_folder_of_the_day(tmp_path):
    made = write_image(tmp_path / "session" / "20261124-235959-seed7.png", "a cat")
    history = HistoryStore(tmp_path / "outputs")
    kept = history.add(made, datetime(2026, 11, 25, 0, 0, 1))
    assert kept == tmp_path / "outputs" / "2026-11-25" / "20261124-235959-seed7.png"
    assert kept.read_bytes() == made.read_bytes()
    assert history.add(made, datetime(2026, 11, 25)) != kept
    assert history.refresh() == HistorySummary(2, 0)


def test_a_missing_folder_is_an_empty_history_and_is_not_created(tmp_path):
    history = HistoryStore(tmp_path / "none")
    assert history.refresh() == HistorySummary(0, 0)
    assert history.page().images == ()
    assert not (tmp_path / "none").exists()


def test_search_words_match_in_any_order_and_as_prefixes(history):
    assert names(history, search="fox") == [3, 2]
    assert names(history, search="FOX red") == [2]
    assert names(history, search="wurst") == names(history, search="würst") == [3]
    assert names(history, search="ox") == []
    assert names(history, search="  ") == [3, 2, 1, 0]


def test_negative_prompts_are_searched_too(history, root):
    write_image(root / "20261125-000000-seed9.png", "a bird", negative="blurry")
    history.refresh()
    assert names(history, search="blurry") == [9]


@pytest.mark.parametrize(
    "search",
    ['"', "*", "fox*", "fox OR dog", "NOT fox", "prompt:fox", "fox'); DROP TABLE pictures;--", "(fox", "fox)", "^fox",
     "NEAR(fox dog)", "{prompt}", "fox\0dog", "\ud800", "-fox", "+", '"fox', "' OR 1=1", "%", "_", "fox AND"],
)  # fmt: skip
def test_search_text_is_never_an_operator(history, search):
    for each in history.page(search=search).images:
        prompt = read_image_settings(each.path).values["prompt"].lower()
        words = [word.strip("\"*'();-{}^+%_\ud800") for word in search.replace("\0", " ").lower().split()]
        assert all(part in prompt for word in words for part in word.replace(":", " ").split())
    assert names(history) == [3, 2, 1, 0]


def test_operators_of_the_index_are_searched_as_words(history, root):
    write_image(root / "20261125-000000-seed9.png", 'to be OR not "to" be, (C++) 100%')
    history.refresh()
    for search in ("OR", '"to"', "(100%)", "100%", "not OR"):
        assert names(history, search=search) == [9]


def test_emoji_and_other_scripts_are_found(history, root):
    write_image(root / "20261125-000000-seed9.png", "🐈 नमस्ते دنيا")
    history.refresh()
    for search in ("🐈", "नमस्", "دنيا"):
        assert names(history, search=search) == [9]


def test_a_too_long_search_is_rejected(history):
    assert "100,000" in error_message(lambda: history.page("x" * 100_000), kind=InvalidRequest)
    assert names(history, search="f" * MAX_SEARCH_CHARS) == []


def test_pages_follow_one_another_without_a_gap(history, root):
    write_album(root, ["a fox"] * 10, "2026-11-20")
    history.refresh()
    for query in ({}, {"search": "fox"}):
        seen, page = [], history.page(**query, count=5)
        while True:
            seen += page.images
            if page.older is None:
                break
            page = history.page(**query, count=5, before=page.older)
        assert seen == list(history.page(**query, count=100).images)
        assert len(seen) == {0: 14, 1: 12}[len(query)]


def test_favourites_survive_the_loss_of_the_index(history, root):
    for number in (0, 2):
        history.set_favourite(id_of(history, number), True)
    history.set_favourite(id_of(history, 0), False)
    assert names(history, favourites=True) == [2]
    assert names(history, favourites=True, search="cat") == []
    shutil.rmtree(root / INDEX.split("/")[0])
    anew = HistoryStore(root)
    anew.refresh()
    assert names(anew, favourites=True) == [2]


def test_marking_a_favourite_leaves_the_image_file_untouched(history):
    kept = history.image(id_of(history, 1))
    before = kept.path.stat(), kept.path.read_bytes()
    assert history.set_favourite(kept.id, True).favourite
    assert history.image(kept.id).favourite
    assert (kept.path.stat().st_mtime_ns, kept.path.read_bytes()) == (before[0].st_mtime_ns, before[1])


def test_a_deleted_image_is_gone_from_folder_and_history(history, root):
    kept = history.image(id_of(history, 1))
    history.set_favourite(kept.id, True)
    history.delete(kept.id)
    assert not kept.path.exists()
    assert [each.name for each in root.rglob("*.favourite")] == []
    assert names(history) == [3, 2, 0]
    assert "no longer in the folder" in error_message(history.image, kept.id)
    history.delete(kept.id)  # twice is once
    assert history.refresh() == HistorySummary(3, 0)


@pytest.mark.parametrize("number", [0, -1, 2**62, 2**63 - 1])
def test_an_unknown_id_is_rejected_with_a_message(history, number):
    assert "no longer in the folder" in error_message(history.image, number)
    assert "no longer in the folder" in error_message(history.set_favourite, number, True)


# Changes by other programs


def test_files_deleted_added_or_replaced_by_others_are_shown_as_they_are(history, root):
    day = root / "2026-11-24"
    (day / "20261124-120001-seed1.png").unlink()
    write_image(day / "20261124-120002-seed2.png", "now an owl", size=20)
    assert names(history) == [3, 0], "files that differ from the index are not shown"
    write_image(day / "20261124-130000-seed8.png", "new")
    (day / "20261124-120003-seed3.png.favourite").touch()
    assert history.refresh() == HistorySummary(4, 0)
    assert names(history) == [8, 3, 2, 0]
    assert names(history, search="owl") == [2]
    assert names(history, favourites=True) == [3]
    shutil.rmtree(day)
    assert names(history) == []
    assert history.refresh() == HistorySummary(0, 0)


def test_an_image_deleted_between_two_refreshes_is_reported_as_gone(history):
    kept = history.image(id_of(history, 2))
    kept.path.unlink()
    for act in (history.image, lambda id: history.set_favourite(id, True)):
        assert "no longer in the folder" in error_message(act, kept.id)
    assert names(history) == [3, 1, 0]


def test_files_of_other_programs_are_counted_and_left_alone(history, root):
    day = root / "2026-11-24"
    (day / "notes.txt").write_text("kept")
    (day / "zip.png").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    (day / "empty.png").touch()
    (day / "folder.png").mkdir()
    (day / "deep" / "deeper").mkdir(parents=True)
    write_image(day / "deep" / "hidden-seed5.png")
    (root / "elsewhere.png").symlink_to(write_image(root.parent / "secret" / "x-seed6.png"))
    (root / "linked").symlink_to(root.parent / "secret")
    before = {path for path in root.rglob("*") if ".wuerst-index" not in str(path)}
    assert history.refresh() == HistorySummary(4, 2)
    assert history.refresh() == HistorySummary(4, 2)
    assert names(history) == [3, 2, 1, 0]
    assert {path for path in root.rglob("*") if ".wuerst-index" not in str(path)} == before


def test_names_in_the_index_never_lead_out_of_the_folder(history, root):
    outside = write_image(root.parent / "secret-seed1.png")
    for folder, name in (("..", outside.name), ("", "../" + outside.name), ("", str(outside))):
        with sqlite3.connect(root / INDEX) as sql:
            sql.execute("UPDATE pictures SET folder = ?, name = ? WHERE prompt = 'a dog'", (folder, name))
            (id,) = sql.execute("SELECT id FROM pictures WHERE prompt = 'a dog'").fetchone()
        sql.close()
        for act in (history.image, history.delete):
            assert "no longer in the folder" in error_message(act, id)
    assert outside.exists()


@pytest.mark.parametrize(
    "change",
    [
        *("folder = '..'", "folder = x'2e2e'", "name = '../x'", "name = x'61'", "name = 'a' || char(0)"),
        *("size = 'many'", "size = 7", "size = 1.5", "changed = x'00'", "favourite = 'often'", f"id = {2**61}"),
    ],
)
def test_a_foreign_row_is_skipped_and_named_and_its_picture_comes_back(history, root, caplog, change):
    with sqlite3.connect(root / INDEX) as sql:
        sql.execute(f"UPDATE pictures SET {change} WHERE prompt = 'a dog'")
        (row,) = sql.execute("SELECT folder, name FROM pictures WHERE prompt = 'a dog'")
    sql.close()
    assert names(history) == [3, 2, 0]
    (said,) = caplog.messages
    assert said.endswith(repr(f"{row[0]}/{row[1]}"))
    history.refresh()
    assert set(names(history)) == {3, 2, 1, 0}
    assert len(caplog.messages) == 1


def test_a_picture_that_is_deleted_elsewhere_is_no_news(history, root, caplog):
    history.image(id_of(history, 1)).path.unlink()
    assert names(history) == [3, 2, 0]
    assert caplog.messages == []


def test_a_day_folder_that_becomes_a_link_is_not_followed(history, root, tmp_path):
    (day,) = (each for each in root.iterdir() if each.name != ".wuerst-index")
    id = id_of(history, 1)
    day.rename(tmp_path / "elsewhere")
    day.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for act in (history.image, history.delete, lambda each: history.set_favourite(each, True)):
        assert "no longer in the folder" in error_message(act, id)
    assert names(history) == []
    assert history.refresh() == HistorySummary(0, 0)
    assert len(list((tmp_path / "elsewhere").glob("*.png"))) == 4


@pytest.mark.parametrize("seconds", [2**34, -(2**33)])
def test_a_time_that_the_index_cannot_store_costs_nothing(history, root, seconds):
    path = write_image(root / "20261130-120000-seed9.png", "from the future")
    os.utime(path, (seconds, seconds))
    os.utime(root, (seconds, seconds))
    assert history.refresh() == HistorySummary(5, 0)
    assert names(history)[0] == 9
    assert history.refresh() == HistorySummary(5, 0)


# Lost or damaged index


@pytest.mark.parametrize("harm", ["missing", "nonsense", "torn", "empty", "other form", "other tables"])
def test_a_missing_or_damaged_index_is_rebuilt(history, root, harm):
    history.set_favourite(id_of(history, 2), True)
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
    for each in (history, HistoryStore(root)):
        assert each.refresh() == HistorySummary(4, 0)
        assert names(each) == [3, 2, 1, 0]
        assert names(each, favourites=True) == [2]
        assert names(each, search="fox") == [3, 2]


def test_an_index_damaged_between_two_calls_is_rebuilt(history, root):
    (root / INDEX).write_bytes(b"x" * 9000)
    assert names(history) == [3, 2, 1, 0]
    (root / INDEX).write_bytes(b"x" * 9000)
    assert "no longer" in error_message(history.image, 5)


def test_a_file_in_place_of_the_index_folder_costs_only_the_index(root):
    (root / INDEX.split("/")[0]).write_text("another file")
    history = HistoryStore(root)
    summary = history.refresh()
    assert (summary.image_count, summary.other_count) == (4, 0)
    assert names(history, search="fox") == [3, 2]
    history.set_favourite(id_of(history, 2), True)
    assert names(history, favourites=True) == [2]
    (root / INDEX.split("/")[0]).unlink()
    assert history.refresh() == HistorySummary(4, 0)
    assert names(history, favourites=True) == [2]


def test_two_programs_can_use_one_history(root):
    one, other = HistoryStore(root), HistoryStore(root)
    assert one.refresh() == other.refresh() == HistorySummary(4, 0)
    one.set_favourite(id_of(one, 1), True)
    assert names(other, favourites=True) == [1]
    other.delete(id_of(other, 3))
    assert names(one) == [2, 1, 0]
    one.add(write_image(root.parent / "new" / "20261125-000000-seed9.png", "new"), datetime(2026, 11, 25))
    other.refresh()
    assert names(one) == names(other) == [9, 2, 1, 0]


def test_a_locked_index_is_reported_and_works_again_once_released(root):
    history = HistoryStore(root, lambda place: sqlite3.connect(place, timeout=0, isolation_level=None))
    history.refresh()
    with sqlite3.connect(root / INDEX, isolation_level=None) as sql:
        sql.execute("BEGIN EXCLUSIVE")
        assert "busy with this history" in error_message(history.refresh)
        assert "busy with this history" in error_message(history.page)
        sql.execute("COMMIT")
    sql.close()
    assert names(history) == [3, 2, 1, 0]


# Read-only and full folders


@pytest.fixture
def read_only(root):
    """A user who may not write anywhere, though the tests may run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs Unix users")
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


def test_a_read_only_folder_is_shown_with_a_notice(root, read_only):
    history = HistoryStore(root)
    summary = history.refresh()
    assert (summary.image_count, summary.other_count) == (4, 0)
    assert "cannot be written to" in summary.notice
    assert names(history, search="fox") == [3, 2]
    id = id_of(history, 2)
    assert "cannot be noted" in error_message(history.set_favourite, id, True)
    assert "cannot be deleted" in error_message(history.delete, id)
    assert "choose another folder" in error_message(history.add, root / "2026-11-24" / "20261124-120002-seed2.png")
    assert names(history) == [3, 2, 1, 0]


def test_a_file_in_place_of_the_history_folder_is_reported(history, root):
    moved = root.rename(root.parent / "moved")
    root.write_text("a file now")
    assert "choose another" in error_message(history.refresh)
    assert "choose another" in error_message(history.add, moved / "2026-11-24" / "20261124-120002-seed2.png")
    root.unlink()
    moved.rename(root)
    assert history.refresh() == HistorySummary(4, 0)


def test_a_full_disk_costs_only_the_index(root):
    def full(place):
        sql = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
        if place != ":memory:":
            sql.execute("PRAGMA max_page_count = 3")  # SQLite's own full disk
        return sql

    history = HistoryStore(root, full)
    summary = history.refresh()
    assert (summary.image_count, summary.other_count) == (4, 0)
    assert "is full" in summary.notice
    history.set_favourite(id_of(history, 1), True)
    assert names(history, favourites=True) == [1]
    assert HistoryStore(root).refresh() == HistorySummary(4, 0)


def test_half_written_files_of_killed_processes_are_deleted(tmp_path):
    folder = tmp_path / "2026-11-29"
    folder.mkdir()
    stale, fresh = tmp_path / ".0123456789abcdef.part", folder / ".fedcba9876543210.part"
    others = [folder / ".other.part", folder / "0123456789abcdef.part", folder / "picture.png"]
    for path in (stale, fresh, folder / ".00112233445566aa.part", *others):
        path.touch()
        os.utime(path, (0, 0))
    os.utime(fresh)
    (folder / ".aabbccddeeff0011.part").symlink_to(tmp_path / "nowhere")
    HistoryStore(tmp_path).delete_partial_files()
    kept = {path.name for path in tmp_path.rglob("*") if not path.is_dir()}
    assert kept == {fresh.name, ".aabbccddeeff0011.part", *(path.name for path in others)}
