"""Kaggle's client with its credentials and endpoints; each refusal becomes a sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bigkingxxl.connectivity import is_reachable
from bigkingxxl.errors import InputError, MissingExtraError
from bigkingxxl.extras import install

COMPETITION = "sartorius-cell-instance-segmentation"
COCO_DATASET = "slawekbiel/sartorius-cell-instance-segmentation-coco"
SITE = "https://www.kaggle.com"
TOKEN_HELP = (
    f"make a token at {SITE}/settings/api and save it as ~/.kaggle/access_token (or set "
    "KAGGLE_API_TOKEN, or use ~/.kaggle/kaggle.json or KAGGLE_USERNAME and KAGGLE_KEY)"
)


class KaggleClient:
    """Kaggle's client with the credentials of the user.

    It uses Kaggle's library `kagglesdk`, on which their command line is based: importing the
    command line would authenticate, print and create folders.

    Raises:
        MissingExtraError: It is not installed.
        InputError: There are no credentials.
    """

    def __init__(self) -> None:
        try:
            import kagglesdk
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"downloading needs Kaggle's own client: {install('kaggle')}, or fetch "
                f"the archive from {SITE}/competitions/{COMPETITION}/data and use --archive FILE",
                key="kaggle",
            ) from error
        self._connect = kagglesdk.KaggleClient
        self._credentials = _credentials()
        endpoint = _endpoint()
        if not is_reachable(endpoint):
            raise InputError(
                f"{endpoint} cannot be reached: fetch the archive on another machine from "
                f"{SITE}/competitions/{COMPETITION}/data and use --archive FILE",
                found=endpoint,
            )

    def competition(self) -> Any:
        """Open the archive of the competition as a streaming response of `requests`.

        Raises:
            InputError: Kaggle refuses; the message says what to do.
            requests.ConnectionError: Kaggle cannot be reached or is out of order.
        """
        from kagglesdk.competitions.types.competition_api_service import (
            ApiDownloadDataFilesRequest,
        )

        request = ApiDownloadDataFilesRequest()
        request.competition_name = COMPETITION

        def call(client: Any) -> Any:
            return client.competitions.competition_api_client.download_data_files(request)

        return self._open(call, f"{SITE}/competitions/{COMPETITION}/rules")

    def coco_dataset(self) -> Any:
        """Open the archive of the public COCO annotations; see `competition`."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = COCO_DATASET.split("/")

        def call(client: Any) -> Any:
            return client.datasets.dataset_api_client.download_dataset(request)

        return self._open(call, f"{SITE}/datasets/{COCO_DATASET}")

    def _open(self, call: Callable[[Any], Any], page: str) -> Any:
        with _sentences(page), self._connect(**self._credentials) as client:
            return call(client)


def _endpoint() -> str:
    from kagglesdk.kaggle_env import get_endpoint, get_env

    return str(get_endpoint(get_env()))


def _credentials() -> dict[str, str]:
    """Read the credentials from the places of Kaggle's command line: token, key, browser login.

    Raises:
        InputError: There are none, or their file is invalid.
    """
    from kagglesdk import KaggleClient as Client
    from kagglesdk import KaggleCredentials, get_access_token_from_env
    from requests import RequestException

    token, _ = get_access_token_from_env()
    if token:
        return {"api_token": token}
    if key := _legacy_key():
        return {"username": key[0], "password": key[1]}
    try:
        with _sentences(SITE), Client() as client:
            signed_in = KaggleCredentials.load(client)
            token = signed_in.get_access_token() if signed_in is not None else None
    except RequestException as error:
        raise InputError(
            f"{SITE} cannot be reached ({type(error).__name__})", found=SITE
        ) from error
    if token:
        return {"api_token": token}
    raise InputError(f"there are no Kaggle credentials: {TOKEN_HELP}", key="credentials")


def _legacy_key() -> tuple[str, str] | None:
    """Read user name and key from KAGGLE_USERNAME and KAGGLE_KEY, or from `kaggle.json`."""
    stored: dict[str, str] = {}
    path = _config_folder() / "kaggle.json"
    if path.is_file():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            stored = {"username": stored["username"], "key": stored["key"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be used, expected a username and a key as Kaggle writes them",
                file=path,
                key="credentials",
            ) from error
    username = os.environ.get("KAGGLE_USERNAME") or stored.get("username")
    key = os.environ.get("KAGGLE_KEY") or stored.get("key")
    return (username, key) if username and key else None


def _config_folder() -> Path:
    if chosen := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(chosen)
    folder = Path.home() / ".kaggle"
    if not folder.exists():
        base = os.environ.get("XDG_CONFIG_HOME")
        folder = (Path(base) if base else Path.home() / ".config") / "kaggle"
    return folder


@contextmanager
def _sentences(page: str) -> Iterator[None]:
    """Convert Kaggle's refusals to sentences that say what to do."""
    from requests import ConnectionError as BrokenConnection
    from requests import HTTPError

    try:
        yield
    except HTTPError as error:
        status = 0
        if error.response is not None:
            status = error.response.status_code
            error.response.close()
        if status >= 500:
            raise BrokenConnection(str(error)) from error
        raise InputError(_refusal(status, page)) from error


def _refusal(status: int, page: str) -> str:
    sentences = {
        401: f"Kaggle does not accept these credentials (401): {TOKEN_HELP}",
        403: f"Kaggle wants its rules accepted first (403): open {page} in a browser, sign in, "
        "accept the rules, and run again",
        404: f"Kaggle has nothing at {page} for these credentials (404)",
        429: "Kaggle asks to slow down (429): wait some minutes and run again",
    }
    return sentences.get(status, f"Kaggle refused with status {status}: see {page}")
