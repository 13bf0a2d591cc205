"""What people write for a checkpoint, and what a README says of its prior."""

from __future__ import annotations

from contextlib import chdir

import pytest

from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.known import KNOWN
from wuerst_demo.model.source import near, parse, prior_of


@pytest.mark.parametrize("name", [name for name in KNOWN if "/" in name])
def test_every_known_name_is_a_hub_name(name):
    source = parse(name)
    assert (source.repository, source.revision, source.folder) == (name, None, None)


def test_a_revision_stands_after_an_at_sign():
    source = parse("warp-ai/wuerstchen@refs/pr/7")
    assert (source.repository, source.revision, source.name) == (
        "warp-ai/wuerstchen",
        "refs/pr/7",
        "warp-ai/wuerstchen",
    )


def test_a_folder_is_shown_by_its_last_part_only(tmp_path):
    (tmp_path / "mine@home").mkdir()
    source = parse(str(tmp_path / "mine@home"))
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
def test_what_is_neither_a_folder_nor_a_hub_name_is_refused_in_one_line(text, words):
    with pytest.raises(CheckpointError, match=words) as raised:
        parse(text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="is a file: give the folder"):
        parse(str(path))


def test_a_folder_that_is_missing_beside_others_is_no_hub_name(checkpoint_2023):
    # It has the form of a Hub name, but its first part is a folder here.
    with chdir(checkpoint_2023), pytest.raises(CheckpointError, match="neither a folder here"):
        parse("wuerstchen/nothing")


def test_a_known_name_needs_no_advice():
    assert near("warp-ai/wuerstchen") == near("somebody/else-entirely") == ""


@pytest.mark.parametrize(
    "front",
    ["prior: warp-ai/some-prior", "prior:\n- warp-ai/some-prior\n- other/prior", 'prior: ["warp-ai/some-prior"]'],
)
def test_a_readme_names_its_prior_as_a_text_or_a_list(front):
    card = f"---\nlicense: mit\n{front}\n---\n# Würstchen\n---\nprior: not/this\n"
    assert prior_of(card, "README.md").repository == "warp-ai/some-prior"


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
        "---\n" + "x" * 100_000 + "\nprior: a/b\n---\n",
    ],
)
def test_a_readme_that_names_no_prior_is_refused_with_the_option(card):
    with pytest.raises(CheckpointError, match="give the prior with --prior") as raised:
        prior_of(card, "README.md")
    assert "\n" not in str(raised.value)
