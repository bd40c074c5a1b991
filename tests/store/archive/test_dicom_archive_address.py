"""The address of an archive and the credentials for it: what is taken, and what is never shown."""

from __future__ import annotations

import pytest
import requests

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.store.archive import ArchiveAddress, Credentials


def test_an_address_is_taken_with_and_without_a_slash_at_its_end() -> None:
    for text in ("http://pacs.lan:8042/dicom-web", " http://pacs.lan:8042/dicom-web/ "):
        address = ArchiveAddress.parse(text)
        assert (address.url, address.host) == ("http://pacs.lan:8042/dicom-web", "pacs.lan:8042")


def test_an_archive_that_changes_to_https_keeps_the_folder_of_its_labels() -> None:
    plain, encrypted = (ArchiveAddress.parse(f"{each}://pacs.lan/dicom-web") for each in ("http", "https"))
    assert plain.folder_name == encrypted.folder_name == "pacs.lan-6fb08f59"


def test_two_archives_on_one_host_have_two_folders() -> None:
    names = {
        ArchiveAddress.parse(f"http://pacs:{port}/{path}").folder_name for port in (1, 2) for path in "ab"
    }
    assert len(names) == 4


@pytest.mark.parametrize("text", ["http://me:geheim@pacs/dicom-web", "https://geheim@pacs/", "//a:geheim@b"])
def test_a_password_in_the_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ArchiveAddress.parse(text)
    assert "geheim" not in str(refused.value)
    assert "MONAI_LABEL_DATASTORE_PASSWORD" in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "ftp://pacs/x",
        "http://",
        "http://pacs:port/x",
        "http://pacs:99999/",
        "http://pacs/?a=b",
        "http://p/#a",
    ],
)
def test_what_is_no_address_of_an_archive_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no address of a DICOM archive"):
        ArchiveAddress.parse(text)


def test_ipv6_is_understood() -> None:
    address = ArchiveAddress.parse("http://[::1]:8042/dicom-web")
    assert (address.url, address.host) == ("http://[::1]:8042/dicom-web", "[::1]:8042")
    assert address.is_this_computer
    assert "/" not in address.folder_name
    assert ":" not in address.folder_name


def login_sent(environment: dict[str, str]) -> str:
    credentials = Credentials.from_environment(environment)
    assert credentials is not None
    request = requests.Request("GET", "http://pacs/", auth=credentials).prepare()
    sent: str = request.headers["Authorization"]
    return sent


def test_a_login_comes_from_the_environment_under_its_new_and_its_older_name() -> None:
    new = {"MONAI_LABEL_DATASTORE_USERNAME": "müller", "MONAI_LABEL_DATASTORE_PASSWORD": "a:b"}
    older = {"MONAI_LABEL_DICOMWEB_USERNAME": "müller", "MONAI_LABEL_DICOMWEB_PASSWORD": "a:b"}
    # base64 of the UTF-8 of müller:a:b
    assert login_sent(new) == login_sent(older) == "Basic bcO8bGxlcjphOmI="
    assert login_sent({"VPTCT_ARCHIVE_TOKEN": " abc.def \n"}) == "Bearer abc.def"
    assert Credentials.from_environment({}) is None


def test_no_secret_is_printed() -> None:
    for credentials in (Credentials("me", "geheim"), Credentials(token="geheim")):
        assert "geheim" not in f"{credentials} {credentials!r}"


@pytest.mark.parametrize(
    "environment",
    [
        {"MONAI_LABEL_DATASTORE_USERNAME": "geheim"},
        {"MONAI_LABEL_DATASTORE_PASSWORD": "geheim"},
        {"VPTCT_ARCHIVE_TOKEN": "geheim\r\nX: y"},
        {"VPTCT_ARCHIVE_TOKEN": "geheim", "MONAI_LABEL_DATASTORE_USERNAME": "me"},
    ],
)
def test_credentials_that_cannot_be_are_refused_and_not_repeated(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Credentials.from_environment(environment)
    assert "geheim" not in str(refused.value)
