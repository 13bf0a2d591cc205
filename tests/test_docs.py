"""The documents: generated tables, links, paths, examples, promises."""

import contextlib
import re
from pathlib import Path

import pytest

from tools import doc_tables
from wuerst_demo.options import env_variable, flag_name
from wuerst_demo.request import DESCRIPTIONS
from wuerst_demo.settings import OPTIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "assets/cocktail/README.md"])
}


def links(page):
    """Targets of links and images inside the repository, relative to it, with their anchors."""
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)", PAGES[page]):
        path = (ROOT / page).parent / target if target else ROOT / page
        yield path.resolve().relative_to(ROOT), anchor.removeprefix("#")


def anchors(page):
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", doc_tables.TABLES)
def test_generated_tables_are_up_to_date(file):
    assert doc_tables.regenerate(PAGES[file], doc_tables.TABLES[file]) == PAGES[file], "run `make readme`"


def test_a_missing_mark_is_an_error():
    with pytest.raises(ValueError, match="no mark"):
        doc_tables.regenerate("", doc_tables.TABLES["README.md"])


def test_every_field_and_option_is_in_a_table():
    page = PAGES["docs/cli.md"]
    for name, description in DESCRIPTIONS.items():
        assert f"| {description.label} |" in page
        assert name == "prompt" or description.help in page
    for name in OPTIONS:
        assert f"`{flag_name(name)}" in page
        assert f"`{env_variable(name)}`" in page


def test_the_readme_is_short():
    assert len(README.split()) <= 1300


def test_every_page_can_be_reached_from_the_readme():
    reached, pending = set(), ["README.md"]
    while pending:
        page = pending.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            pending += [str(path) for path, _ in links(page)]
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page):
    for path, anchor in links(page):
        assert (ROOT / path).exists(), f"{page} links to {path}"
        if anchor and str(path) in PAGES:
            assert anchor in anchors(str(path)), f"{page} links to {path}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_the_text_exists(page):
    for line in PAGES[page].splitlines():
        folder = ROOT
        for code in re.findall(r"`([^`]+)`", line):
            path = code.partition("::")[0].rstrip("/")
            if re.fullmatch(r"(wuerst_demo|assets|tests|tools|docs)/[\w./-]+", path):
                assert (ROOT / path).exists(), f"{page}: {code}"
                folder = (ROOT / path).parent
            elif re.fullmatch(r"[\w]+\.py", path):  # beside the one before it, or at the root
                assert (folder / path).exists() or (ROOT / path).exists() or (ROOT / "wuerst_demo" / path).exists(), (
                    code
                )
            elif re.fullmatch(
                r"(web|cli|engine|pipeline|prompts|networks|images|history|checkpoints|devices)/[\w./-]+", path
            ):
                assert (ROOT / "wuerst_demo" / path).exists(), f"{page}: {code}"


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/architecture.md"])
def test_every_test_and_type_named_exists(page):
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGES[page]):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
    for name, file in re.findall(r"^\| \d+ \| `(\w+)` \| `([\w/.]+)` \|", PAGES[page], re.MULTILINE):
        assert f"class {name}" in (ROOT / file).read_text(encoding="utf-8"), name


def test_every_folder_is_in_the_architecture_page():
    page = PAGES["docs/architecture.md"]
    folders = [path.name for path in (ROOT / "wuerst_demo").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) > 8
    assert [name for name in folders if f"{name}/" not in page] == []


def test_the_space_gets_the_tested_version_of_gradio():
    assert f"\ngradio=={re.search(r'sdk_version: (.+)', README)[1]}\n" in (ROOT / "constraints.txt").read_text()


def test_every_make_target_is_explained():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"\.PHONY: (.+)", makefile)[1].split()
    head = makefile.partition("SHELL")[0]
    assert [target for target in targets if target not in ("help",) and f"make {target}" not in head] == []


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "assets" / "cocktail").exists(), reason="the shipped checkpoint is missing")
def test_the_python_of_the_readme_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with contextlib.chdir(tmp_path):
        exec(code, {})
    assert [path.name for path in tmp_path.iterdir()] == ["7.png"]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "assets" / "cocktail").exists(), reason="the shipped checkpoint is missing")
def test_the_python_of_the_command_line_page_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["docs/cli.md"], re.DOTALL)
    exec(code, {})
    printed = capsys.readouterr().out.split()
    assert printed[0] == "384"
    assert printed[-3:] == ["Done", "True", "3"]
