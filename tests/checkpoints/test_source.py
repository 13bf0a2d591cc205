"""Checkpoint names on the command line, and priors named by a README."""

from __future__ import annotations

from contextlib import chdir

import pytest

from wuerst_demo.checkpoints.registry import KNOWN_CHECKPOINTS
from wuerst_demo.checkpoints.source import parse_prior_from_card, parse_source
from wuerst_demo.errors import CheckpointError


@pytest.mark.parametrize("name", [name for name in KNOWN_CHECKPOINTS if "/" in name])
def test_every_known_name_is_a_hub_name(name):
    source = parse_source(name)
    assert (source.repository, source.revision, source.folder) == (name, None, None)


def test_a_revision_follows_an_at_sign():
    source = parse_source("warp-ai/wuerstchen@refs/pr/7")
    assert (source.repository, source.revision, source.name) == (
        "warp-ai/wuerstchen",
        "refs/pr/7",
        "warp-ai/wuerstchen",
    )


def test_a_folder_is_named_by_its_last_part(tmp_path):
    (tmp_path / "mine@home").mkdir()
    source = parse_source(str(tmp_path / "mine@home"))
    assert (source.name, source.folder) == ("mine@home", tmp_path / "mine@home")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wurstchen", r"did you mean warp-ai/wuerstchen\?"),
        ("cocktial", r"did you mean cocktail\?"),
        ("stage-a-ft-hd", r"did you mean madebyollin/stage-a-ft-hq\?"),
        ("./warp-ai/wuerstchen", "neither a folder here nor a Hub name"),
        ("/nowhere/at/all", "neither a folder here nor a Hub name"),
        ("warp-ai/wuerstchen@", "neither a folder here nor a Hub name"),
        ("warp-ai/wuerstchen@../../etc", "neither a folder here nor a Hub name"),
        ("warp-ai/../etc", "neither a folder here nor a Hub name"),
        ("https://huggingface.co/warp-ai/wuerstchen", "neither a folder here nor a Hub name"),
        ("", "is empty or unreadable"),
        ("   ", "is empty or unreadable"),
        ("two\nlines", "is empty or unreadable"),
        ("nul\0byte", "is empty or unreadable"),
        ("w" * 100_000, "is empty or unreadable"),
        ("w" * 900, "cannot be opened|neither a folder"),
    ],
)
def test_neither_a_folder_nor_a_hub_name_is_rejected_in_one_line(text, words):
    with pytest.raises(CheckpointError, match=words) as raised:
        parse_source(text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_file_is_rejected(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="is a file: give the folder"):
        parse_source(str(path))


def test_a_missing_folder_beside_others_is_not_a_hub_name(checkpoint_2023):
    # It has the form of a Hub name, but its first part is a folder here.
    with chdir(checkpoint_2023), pytest.raises(CheckpointError, match="neither a folder here"):
        parse_source("wuerstchen/nothing")


@pytest.mark.parametrize(
    "front",
    [
        "prior: warp-ai/some-prior",
        "prior : 'warp-ai/some-prior'  # a comment",
        "prior:\n- warp-ai/some-prior\n- other/prior",
        "prior:\n  - warp-ai/some-prior",
        'prior: ["warp-ai/some-prior"]',
        "prior: [warp-ai/some-prior, other/prior]",
        "prior: [\n  warp-ai/some-prior\n]",
    ],
)
def test_a_readme_names_its_prior_as_text_or_list(front):
    card = f"---\nlicense: mit\n{front}\n---\n# Würstchen\n---\nprior: not/this\n"
    assert parse_prior_from_card(card, "README.md").repository == "warp-ai/some-prior"


@pytest.mark.parametrize(
    "card",
    [
        "",
        "# Würstchen\nprior: a/b\n",
        "---\nprior: a/b\n",
        "---\nlicense: mit\n---\n",
        "---\nprior: []\n---\n",
        "---\nprior: 3\n---\n",
        "---\nprior: ../../somewhere\n---\n",
        "---\nprior: /etc\n---\n",
        "---\nprior: {a: b}\n---\n",
        "---\n- prior\n---\n",
        "---\nprior: [a/b\n---\n",
        "---\nprior: !!python/object/apply:os.getcwd []\n---\n",
        "---\n" + "[" * 20_000 + "\n---\n",
        '---\nprior: !!int ""\n---\n',
        "---\nprior: !!str a/b\n---\n",
        "---\nprior: &x a/b\n---\n",
        "---\nx: &x a/b\nprior: *x\n---\n",
        "---\na: &a {prior: a/b}\n<<: *a\n---\n",
        "---\n" + "".join(f"a{k}: &a{k} {{<<: [{f'*a{k - 1}, ' * 9}]}}\n" for k in range(1, 200)) + "---\n",
        "---\nprior: a--b/c\n---\n",
        "---\nprior: a/b.git\n---\n",
        "---\nprior: a/b\nprior: c/d\n---\n",
        "---\nprior: 'a/b\n---\n",
        "---\nmore:\n  prior: a/b\n---\n",
        "---\n" + "x" * 100_000 + "\nprior: a/b\n---\n",
    ],
)
def test_a_readme_without_a_prior_is_rejected_with_the_remedy(card):
    with pytest.raises(CheckpointError, match="give the prior with --prior") as raised:
        parse_prior_from_card(card, "README.md")
    assert "\n" not in str(raised.value)


SHA, OTHER = "a" * 40, "b" * 40


def test_a_cache_folder_of_the_hub_is_the_snapshot_of_its_main_branch(tmp_path):
    cache = tmp_path / "models--warp-ai--wuerstchen"
    for commit in (SHA, OTHER):
        (cache / "snapshots" / commit).mkdir(parents=True)
    with pytest.raises(CheckpointError, match="has 2 snapshots: give the one you mean"):
        parse_source(str(cache))
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(OTHER + "\n")
    source = parse_source(str(cache))
    assert (source.name, source.folder, source.repository) == ("warp-ai/wuerstchen", cache / "snapshots" / OTHER, "")
    assert parse_source(str(cache / "snapshots" / SHA)).name == "warp-ai/wuerstchen"


def test_a_cache_folder_whose_branch_leads_out_is_its_only_snapshot(tmp_path):
    cache = tmp_path / "models--warp-ai--wuerstchen"
    (cache / "snapshots" / SHA).mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("../../..")
    assert parse_source(str(cache)).folder == cache / "snapshots" / SHA


def test_a_name_that_the_hub_does_not_allow_is_not_looked_up():
    for name in ("a--b/c", "a/b--c", "a/b.git", "a/b..c"):
        with pytest.raises(CheckpointError, match="neither a folder here nor a Hub name"):
            parse_source(name)
    assert parse_source("a/b@feature--x").revision == "feature--x"
