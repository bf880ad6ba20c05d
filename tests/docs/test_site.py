"""The documentation as it is built and served: without a login, with local assets only, and also as Markdown."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from django.test import Client
from django.utils.module_loading import import_string

from deploy import docs

PAGES = docs.pages()


def test_every_source_is_listed_and_every_listed_page_exists() -> None:
    assert sorted(PAGES) == sorted(path.stem for path in docs.SOURCES.glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_documentation_page_is_served_as_html_and_markdown_without_a_login(
    site: Path, client: Client, page: str
) -> None:
    html = client.get("/docs/" if page == "index" else f"/docs/{page}.html")
    assert (html.status_code, html["Content-Type"].split(";")[0]) == (200, "text/html")
    markdown = client.get(f"/docs/{page}.md")
    assert (markdown.status_code, markdown["Content-Type"].split(";")[0]) == (200, "text/markdown")
    text = b"".join(markdown).decode()
    assert text.startswith("# ")
    assert "{toctree}" not in text
    assert "<!--" not in text


def test_docs_path_redirects_to_the_first_page(site: Path, client: Client) -> None:
    answer = client.get("/docs")
    assert (answer.status_code, urljoin("/docs", answer["Location"])) == (302, "/docs/")


def test_unchanged_documentation_page_is_answered_with_304(site: Path, client: Client) -> None:
    first = client.get("/docs/send.html")
    again = client.get("/docs/send.html", headers={"if-none-match": first["ETag"]})
    assert (again.status_code, "max-age" in first["Cache-Control"]) == (304, True)


def test_llms_txt_lists_every_page_and_each_link_leads_to_one(site: Path, client: Client) -> None:
    text = (site / "llms.txt").read_text()
    links = re.findall(r"\]\((/[^)]*)\)", text)
    assert {f"/docs/{page}.md" for page in PAGES if page != "index"} <= set(links)
    for link in links:
        if link.startswith("/docs/"):
            assert client.get(link).status_code == 200, link
    for path in ("/docs/llms.txt", "/llms.txt", "/docs/llms-full.txt"):
        assert client.get(path).status_code == 200, path
    full = (site / "llms-full.txt").read_text()
    assert all(docs.markdown(page) in full for page in PAGES)


def test_unknown_documentation_path_gets_the_usual_404(site: Path, client: Client) -> None:
    answer = client.get("/docs/nowhere.html")
    assert (answer.status_code, answer.json()["error"]) == (404, "NOT_FOUND")


class _Asked(HTMLParser):
    """The assets that a browser loads with a page, and the number of inline scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.inline_scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not given.get("src"):
            self.inline_scripts += 1
        if tag in {"script", "img", "iframe", "source", "video", "audio"} and given.get("src"):
            self.assets.append(given["src"] or "")
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "preload", "prefetch", "preconnect"}:
            self.assets.append(given.get("href") or "")


def test_documentation_loads_local_assets_and_no_inline_script(site: Path, client: Client) -> None:
    for page in site.glob("*.html"):
        asked = _Asked()
        asked.feed(page.read_text())
        assert asked.inline_scripts == 0, page.name
        for asset in asked.assets:
            assert not urlsplit(asset).netloc, (page.name, asset)
            path = urlsplit(urljoin(f"/docs/{page.name}", asset)).path
            assert client.get(unquote(path)).status_code == 200, (page.name, asset)
    for style in (site / "_static").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text()), style.name


def test_policy_of_the_documentation_allows_our_own_scripts_only(site: Path, client: Client) -> None:
    policy = client.get("/docs/")["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none';" in policy


def test_absolute_links_of_the_documentation_to_our_paths_resolve(site: Path, client: Client) -> None:
    asked = {link for page in PAGES for link in re.findall(r"\]\((/[^)#\s]*)", docs.markdown(page))}
    for link in asked:
        assert client.get(link).status_code in {200, 302}, link


def test_links_between_files_of_the_repository_resolve() -> None:
    root = docs.SOURCES.parent.parent
    for name in ("README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", (root / name).read_text()):
            if not urlsplit(link).scheme:
                assert ((root / name).parent / link).exists(), (name, link)


def test_files_and_code_names_in_the_documentation_exist() -> None:
    root = docs.SOURCES.parent.parent
    pages = [*docs.SOURCES.glob("*.md"), root / ".github" / "CONTRIBUTING.md", root / ".github" / "SECURITY.md"]
    text = "\n".join(page.read_text() for page in pages)
    files = set(re.findall(r"(?<![\w/{}-])(?:evermuse|ingest|lake|attachments|deploy|tests)/[\w/.-]*\w", text))
    names = set(re.findall(r"\b(?:lake|attachments|ingest)\.[a-z_.]+\.[A-Z]\w+", text))
    assert {"lake/envelope.py", "deploy/compose.yaml"} <= files
    assert {"lake.processors.Processor", "attachments.processor.AttachmentDownloads"} <= names
    made_by_people = {"deploy/.env", "deploy/settings.env", "tests/yourcompany"}
    assert [name for name in sorted(files - made_by_people) if not (root / name).exists()] == []
    for name in names:
        import_string(name)


def test_readme_is_at_most_a_screen_and_a_half_long() -> None:
    assert len((docs.SOURCES.parent.parent / "README.md").read_text().splitlines()) <= 75


@pytest.fixture
def two_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources of a small documentation of our configuration, in place of our own: its index and one page."""
    sources = tmp_path / "docs"
    shutil.copytree(docs.SOURCES, sources, ignore=shutil.ignore_patterns("_site*", "*.md"))
    (sources / "index.md").write_text("# Index\n\nTwo pages.\n\n```{toctree}\nsend\n```\n")
    (sources / "send.md").write_text("# Send\n\nSee [the index](index.md) and [below](send.md#below).\n\n## Below\n")
    monkeypatch.setattr(docs, "SOURCES", sources)
    return sources


@pytest.mark.parametrize("fault", ["[x](nowhere.md)", "[x](send.md#no-such-heading)"])
def test_broken_link_or_heading_fails_the_build_of_the_documentation(two_pages: Path, fault: str) -> None:
    with (two_pages / "send.md").open("a") as page:
        page.write(f"\n{fault}\n")
    with pytest.raises(docs.BrokenDocuments):
        docs.build(two_pages / "_site")
    assert not (two_pages / "_site").exists()


def test_killed_build_of_the_documentation_does_not_disturb_the_next(two_pages: Path) -> None:
    (two_pages / "_site.killed" / "new").mkdir(parents=True)
    (two_pages / "_site.killed" / "new" / "stray.md").write_text("# Stray\n\n[x](nowhere.md)\n")
    assert docs.build(two_pages / "_site") is True
    assert docs.build(two_pages / "_site") is False


def test_image_copies_every_file_that_the_documentation_needs(tmp_path: Path) -> None:
    root = docs.SOURCES.parent.parent
    stages = (root / "deploy" / "Dockerfile").read_text().split("\nFROM ")
    (stage,) = [one for one in stages if one.splitlines()[0].endswith(" AS docs")]
    for line in stage.splitlines():
        if line.startswith("COPY"):
            *sources, target = shlex.split(line)[1:]
            for source in sources:
                place = tmp_path / target / Path(source).name if target.endswith("/") else tmp_path / target
                place.parent.mkdir(parents=True, exist_ok=True)
                if (root / source).is_dir():
                    shutil.copytree(root / source, place, ignore=shutil.ignore_patterns("_site*"))
                else:
                    shutil.copy(root / source, place)
    subprocess.run([sys.executable, "-m", "deploy.docs"], cwd=tmp_path, check=True, env={"PATH": os.environ["PATH"]})
    assert (tmp_path / "evermuse" / "docs" / "_site" / "web" / "docs" / "index.html").is_file()


def test_unchanged_documentation_is_not_rebuilt(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "build_main", lambda argv: pytest.fail("the documentation was built again"))
    assert docs.build() is False
