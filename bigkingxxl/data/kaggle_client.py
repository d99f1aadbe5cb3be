"""Kaggle's own client: its credentials and its addresses; every refusal becomes one sentence."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from bigkingxxl.errors import InputError, MissingExtraError

COMPETITION = "sartorius-cell-instance-segmentation"
COCO_DATASET = "slawekbiel/sartorius-cell-instance-segmentation-coco"
SITE = "https://www.kaggle.com"
TOKEN_HELP = (
    f"make a token at {SITE}/settings/api and save it as ~/.kaggle/access_token (or set "
    "KAGGLE_API_TOKEN, or use ~/.kaggle/kaggle.json or KAGGLE_USERNAME and KAGGLE_KEY)"
)


class KaggleClient:
    """A signed-in client.

    Raises:
        MissingExtraError: Kaggle's client is not installed.
        InputError: there are no credentials, or Kaggle cannot be reached to check them.
    """

    def __init__(self) -> None:
        api = _api_class()()
        with _sentences("signing in", SITE):
            try:
                with redirect_stdout(io.StringIO()):
                    api.authenticate()
            except SystemExit:
                raise InputError(f"there are no Kaggle credentials: {TOKEN_HELP}") from None
        self._api = api

    def competition(self) -> Any:
        """Open the competition's archive, a streaming answer of `requests`.

        Raises:
            InputError: Kaggle refuses, and what to do about it.
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
        with _sentences("downloading", page), self._api.build_kaggle_client() as client:
            return call(client)


def _api_class() -> Any:
    try:
        # Kaggle's package signs in as soon as it is imported, prints help, and makes its folder.
        with redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            'downloading needs Kaggle\'s own client: pip install "bigkingxxl[kaggle]", or fetch '
            f"the archive from {SITE}/competitions/{COMPETITION}/data and give it as --archive FILE"
        ) from error
    except OSError as error:
        raise InputError(
            f"Kaggle's client cannot use its folder {error.filename}: {error.strerror}; "
            "set KAGGLE_CONFIG_DIR to another one"
        ) from error
    return KaggleApi


@contextmanager
def _sentences(doing: str, page: str) -> Iterator[None]:
    """Kaggle's refusals as sentences that say what to do; broken connections pass."""
    from requests import ConnectionError as BrokenConnection
    from requests import HTTPError

    try:
        yield
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status >= 500:
            raise BrokenConnection(str(error)) from error
        raise InputError(_refusal(status, doing, page)) from error
    except ValueError as error:
        raise InputError(f"Kaggle's client gave up while {doing}: {error}") from error


def _refusal(status: int, doing: str, page: str) -> str:
    sentences = {
        401: f"Kaggle does not accept these credentials (401 while {doing}): {TOKEN_HELP}",
        403: f"Kaggle wants its rules accepted first (403): open {page} in a browser, sign in, "
        "accept the rules, and run again",
        404: f"Kaggle has nothing at {page} for these credentials (404)",
        429: "Kaggle asks to slow down (429): wait some minutes and run again",
    }
    return sentences.get(status, f"Kaggle refused with status {status} while {doing}: see {page}")
