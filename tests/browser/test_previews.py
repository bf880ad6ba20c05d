"""Previews of stored files on their admin page, served by the web process under the page's policy."""

import base64
from collections.abc import Callable, Iterator

import pytest

from tests.attachments.vendor import Vendor
from tests.browser.conftest import Visit
from tests.browser.expecting import expect
from tests.journeys.stack import Stack
from tests.records import record

# An image of one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PDF = (
    b"%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A server for attachments."""
    made = Vendor()
    yield made
    made.close()


def page_of(stack: Stack, vendor: Vendor, name: str, body: bytes, mime_type: str) -> str:
    """Returns the path of a stored file's page."""
    client = stack.new_client()
    url = vendor.on(f"/{name}", lambda exchange: exchange.answer(body, Content_Type=mime_type))
    batch_id = client.send(record(attachments=[{"type": "file", "vendor_url": url, "mime_type": mime_type}]))
    assert client.settled(batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    ((number,),) = stack.rows("SELECT id FROM attachments_attachment WHERE batch_id = %s", int(batch_id[6:]))
    return f"/admin/attachments/attachment/{number}/change/"


def test_stored_image_is_shown_on_its_admin_page(visit: Callable[..., Visit], stack: Stack, vendor: Vendor) -> None:
    visited = visit()
    page = visited.open(page_of(stack, vendor, "a.png", PNG, "image/png"))
    image = page.locator("img.file-preview")
    expect(image).to_be_visible()
    assert (image.get_attribute("src") or "").startswith("/files?ticket=")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    assert (visited.strangers, visited.complaints) == ([], [])


def test_stored_pdf_is_framed_on_its_admin_page(visit: Callable[..., Visit], stack: Stack, vendor: Vendor) -> None:
    visited = visit()
    page = visited.page
    with page.expect_response(lambda answer: "/files?ticket=" in answer.url) as answered:
        visited.open(page_of(stack, vendor, "a.pdf", PDF, "application/pdf"))
    assert answered.value.status == 200
    assert answered.value.headers["content-type"] == "application/pdf"
    assert visited.complaints == []
