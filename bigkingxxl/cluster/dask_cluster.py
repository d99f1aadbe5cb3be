"""Connect to a Dask cluster, or start one on this machine."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bigkingxxl.cluster.dask import (
    LOCAL,
    SECONDS_FOR_OWN_WORKERS,
    SECONDS_FOR_WORKERS,
    DaskEngine,
)
from bigkingxxl.cluster.pool import fitting
from bigkingxxl.errors import InputError, MissingExtraError
from bigkingxxl.extras import install

SECONDS_TO_CONNECT = 30.0


@contextmanager
def dask_cluster(address: str) -> Iterator[DaskEngine]:
    """Yield an engine on the cluster of a scheduler, or on a cluster started for the block.

    Args:
        address: Such as 'tcp://node1:8786', or 'local:4' for four processes of this machine.

    Raises:
        InputError: It is not an address, there is no answer, or there are no workers.
        MissingExtraError: Dask is not installed.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--scheduler needs Dask, which comes with the extra 'cluster': {install('cluster')}",
            key="cluster",
        ) from error
    with _quiet(), _cluster(distributed, address) as cluster:
        client = _connected(distributed, cluster or address, address)
        try:
            yield DaskEngine(client, address)
        finally:
            with suppress(Exception):  # a lost scheduler cannot be shut down
                client.close(timeout=5)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Dask's log within the block; our own messages say what matters."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _cluster(distributed: Any, address: str) -> Iterator[Any]:
    """Start the processes that 'local:N' asks for; None for any other address."""
    if not address.startswith(LOCAL):
        yield None
        return
    count = address.removeprefix(LOCAL)
    if not count.isdecimal() or int(count) < 1:
        raise InputError(
            f"--scheduler is '{address}', expected local:N with N workers, 1 or "
            "more, or the address of a scheduler (tcp://HOST:8786)",
            key="--scheduler",
            found=address,
        )
    dask: Any = importlib.import_module("dask")
    # Dask gives up a worker that is not restarted in 15 seconds, which takes minutes on a machine
    # that does much else.
    patience = {"distributed.deploy.lost-worker-timeout": f"{SECONDS_FOR_OWN_WORKERS} s"}
    with dask.config.set(patience):
        cluster = distributed.LocalCluster(
            n_workers=fitting(int(count), int(count)), threads_per_worker=1,
            dashboard_address=":0", silence_logs=logging.CRITICAL,
        )  # fmt: skip
        try:
            yield cluster
        finally:
            with suppress(Exception):
                cluster.close(timeout=10)


def _connected(distributed: Any, place: Any, address: str) -> Any:
    try:
        client = distributed.Client(place, timeout=SECONDS_TO_CONNECT, set_as_default=False)
        client.wait_for_workers(1, timeout=SECONDS_FOR_WORKERS)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, TimeoutError) and "workers" in str(error):
            client.close(timeout=5)
            raise InputError(
                f"the scheduler at {address} has no workers (waited {SECONDS_FOR_WORKERS:.0f} s): "
                f"start some with `dask worker {address}`",
                key="--scheduler",
                found=address,
            ) from error
        raise InputError(
            f"no Dask scheduler answers at '{address}', expected an address such as "
            "tcp://HOST:8786, or local:4 to start one",
            key="--scheduler",
            found=address,
        ) from error
    return client
