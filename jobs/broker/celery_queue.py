"""The one message there is, "run job X", and the Celery settings it needs.

The message is a notification, the row is the truth: one that comes twice finds the job claimed,
and one that is lost is sent again. So nothing is lost with early acknowledgement.

A message goes to the workers that have the GPUs of its job: there is a queue for each number of
GPUs, and a worker takes from those up to its own. While no worker has a GPU it goes to `QUEUE`,
from which all take.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from jobs.errors import QueueUnavailable
from jobs.scheduling.outbox import Outbox

TRAIN = "relora.train"  # the task's name; its one argument is the job's id
QUEUE = "relora"
_SOCKET = {"socket_connect_timeout": 3, "socket_timeout": 10}


def queue_for(gpus: int | None) -> str:
    """Of messages for workers with so many GPUs; None: for any."""
    return QUEUE if gpus is None else f"{QUEUE}.gpus-{gpus}"


def queues_of(gpus: int) -> list[str]:
    """From which a worker with so many GPUs takes."""
    return [queue_for(None), *(queue_for(number) for number in range(1, gpus + 1))]


def celery_app(broker_url: str) -> Celery:
    """For both sides. A worker that is busy takes no second message."""
    app = Celery("relora", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a broker that restarts only delays
        broker_channel_error_retry=True,  # as does one that refuses writes, with a full disk
        broker_transport_options=_SOCKET,
    )
    return app


class JobQueue:
    """The sending side. With the broker down, everything fails within seconds."""

    def __init__(self, broker_url: str) -> None:
        self._app = celery_app(broker_url)

    def send(self, job_id: str, *, gpus: int | None = None) -> None:
        """To workers with so many GPUs; None: to any."""
        with self._connected() as connection:
            self._app.send_task(
                TRAIN, args=[job_id], connection=connection, retry=False, queue=queue_for(gpus)
            )

    def depth(self, *, gpus: int | None = None) -> int:
        """Messages that no worker has taken yet, of those that `send` sent with these GPUs."""
        with self._connected() as connection:
            channel = connection.default_channel
            queue = channel.queue_declare(queue_for(gpus))  # type: ignore[no-untyped-call]
            return int(queue.message_count)

    def ping(self) -> None:
        """Write something: a broker may answer and take no messages. Raises `QueueUnavailable`."""
        with self._connected() as connection:
            channel = connection.default_channel
            channel.client.set("relora.ping", "", ex=60)  # type: ignore[attr-defined] # of Redis

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        options = {**_SOCKET, "socket_timeout": 3, "max_retries": 1, "interval_start": 0}
        try:
            with self._app.connection_for_write(transport_options=options) as connection:
                connection.default_channel  # noqa: B018 # connects
                yield connection
        except (OperationalError, RedisError) as error:  # it does not answer, or refuses
            raise QueueUnavailable(f"The broker is unavailable: {error}") from error


def dispatch(outbox: Outbox, queue: JobQueue) -> int:
    """Send what the outbox holds; return how many.

    Raises `QueueUnavailable`; what was not sent is still in the outbox.
    """
    entries = outbox.unsent()
    for entry in entries:
        queue.send(entry.job_id, gpus=entry.gpus)
        outbox.mark_sent(entry.id)
    return len(entries)
