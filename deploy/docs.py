"""`make docs`: builds the site that the product serves at /docs/ from the Markdown in ``evermuse/docs``.

The site is built only if a source, the theme or this module has changed. It is replaced as a whole, and a failed build
keeps the previous site. Every warning is an error, also a link to a page or heading that does not exist.
"""

import fcntl
import hashlib
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from sphinx.cmd.build import build_main

SOURCES = Path(__file__).resolve().parent.parent / "evermuse" / "docs"
SITE = SOURCES / "_site"
STAMP = ".digest"
BUILDERS = ("sphinx", "furo", "myst-parser")

_SCRIPT = re.compile(r"<script>\s*(.*?)\s*</script>", re.DOTALL)
_DIRECTIVE = re.compile(r"^```\{.*?^```\n", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"^ *<!--.*?-->\n", re.DOTALL | re.MULTILINE)
_TOCTREE = re.compile(r"^```\{toctree\}\n(?::\w+:[^\n]*\n)*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ACCESSIBLE = {
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
}


class BrokenDocuments(Exception):
    """The documents do not build. Sphinx has written the reasons to stderr."""


def sources() -> list[Path]:
    """All files that the site is built from."""
    found = (path for path in SOURCES.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.relative_to(SOURCES).parts[0].startswith(("_site", "__pycache__")))


def pages() -> list[str]:
    """The names of the pages in reading order: the index, then the order of its table of contents."""
    listed = _TOCTREE.findall((SOURCES / "index.md").read_text())
    return ["index", *(name.strip() for block in listed for name in block.splitlines() if name.strip())]


def digest() -> str:
    """A hash that changes when the site must be built again."""
    found = hashlib.sha256("".join(version(name) for name in BUILDERS).encode())
    for path in [Path(__file__), *sources()]:
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def build(site: Path = SITE) -> bool:
    """Bring ``site`` up to date. False if it was up to date. Raises BrokenDocuments.

    If `make run` and `make test` build at the same time, the second one waits.
    """
    wanted = digest()
    if _is_current(site, wanted):
        return False
    with site.with_name(f"{site.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_current(site, wanted):
            return False
        _build(site, wanted)
    return True


def _is_current(site: Path, wanted: str) -> bool:
    stamp = site / STAMP
    return stamp.is_file() and stamp.read_text() == wanted


def _build(site: Path, wanted: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{site.name}.", dir=site.parent) as scratch:
        made, docs = Path(scratch) / "new", Path(scratch) / "new" / "web" / "docs"
        options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(Path(scratch) / "doctrees")]
        if build_main([*options, str(SOURCES), str(docs)]):
            raise BrokenDocuments
        for name in (".buildinfo", "_sources", "objects.inv"):
            path = docs / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _finish_html(docs)
        _write_markdown(docs)
        shutil.copy(docs / "llms.txt", docs.parent / "llms.txt")
        (made / STAMP).write_text(wanted)
        made.chmod(0o755)
        if site.exists():
            site.rename(Path(scratch) / "old")
        made.rename(site)


def _finish_html(docs: Path) -> None:
    """Adapt the theme's pages to our Content-Security-Policy and to the rules of accessibility.

    Every inline script moves to its own file. Scrolling areas can be reached by keyboard, and headings have a level.
    """
    for page in docs.glob("*.html"):

        def moved(found: re.Match[str]) -> str:
            name = f"_static/inline-{hashlib.sha256(found[1].encode()).hexdigest()[:8]}.js"
            (docs / name).write_text(found[1] + "\n")
            return f'<script src="{name}"></script>'

        text = _SCRIPT.sub(moved, page.read_text())
        for theirs, ours in _ACCESSIBLE.items():
            text = text.replace(theirs, ours)
        page.write_text(text)


def markdown(name: str) -> str:
    """A page as plain Markdown, without the builder's directives and the notes for tests."""
    text = (SOURCES / f"{name}.md").read_text()
    return re.sub(r"\n{3,}", "\n\n", _COMMENT.sub("", _DIRECTIVE.sub("", text))).strip() + "\n"


def _write_markdown(docs: Path) -> None:
    """Write each page as Markdown beside its HTML, a list of pages (llms.txt), and all pages in one file
    (llms-full.txt).
    """
    texts = {name: markdown(name) for name in pages()}
    for name, text in texts.items():
        (docs / f"{name}.md").write_text(text)
    (docs / "llms-full.txt").write_text("\n".join(texts.values()))
    index = _summary(texts["index"])
    lines = [f"# {index[0]}", "", f"> {index[1]}", "", "## Pages", ""]
    for name in texts:
        if name != "index":
            title, first = _summary(texts[name])
            lines.append(f"- [{title}](/docs/{name}.md): {first}")
    lines += ["", "## More", "", "- [All pages in one file](/docs/llms-full.txt)"]
    lines += ["- [OpenAPI description of the HTTP API](/api/v1/openapi.json)"]
    lines += ["- [The record as JSON Schema](/api/v1/schemas/record.json)"]
    (docs / "llms.txt").write_text("\n".join(lines) + "\n")


def _summary(text: str) -> tuple[str, str]:
    """A page's title and first paragraph."""
    title, _, rest = text.removeprefix("# ").partition("\n")
    return title, " ".join(rest.strip().partition("\n\n")[0].split())


def main() -> int:
    """Build, and return the exit code."""
    try:
        print("The documents are built." if build() else "The documents are up to date.")
    except BrokenDocuments:
        print("The documents have faults: see above.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
