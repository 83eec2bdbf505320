"""The queue of the broker with its one message, "run job X", and the Celery settings.

A message is only a notification; the row of the job is the source of truth. If a message comes
twice, the second finds the job claimed. If a message is lost, it is sent again. So early
acknowledgement of messages loses no job.

There is a queue for each number and class of GPUs, and a message goes to the queue for the GPUs of
its job. A worker takes messages from the queues of no class and of its own class, up to its own
number of GPUs. While no worker has a GPU, messages go to `QUEUE`, or to the queue of their class.
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


def queue_for(gpus: int | None, gpu_class: str | None = None) -> str:
    """Return the queue of messages for workers with `gpus` GPUs or more of a class.

    None stands for any number and for any class.
    """
    number = "" if gpus is None else f".gpus-{gpus}"
    return f"{QUEUE}{number}" + ("" if gpu_class is None else f".class-{gpu_class}")


def queues_of(gpus: int, gpu_class: str | None = None) -> list[str]:
    """Return the queues from which a worker with `gpus` GPUs of a class takes messages."""
    classes = dict.fromkeys([None, gpu_class])
    return [queue_for(n, name) for name in classes for n in (None, *range(1, gpus + 1))]


def celery_app(broker_url: str) -> Celery:
    """Return the Celery app for senders and workers. A busy worker takes no second message."""
    app = Celery("relora", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a restart of the broker only causes a delay
        broker_channel_error_retry=True,  # so does a broker that refuses writes (full disk)
        broker_transport_options=_SOCKET,
    )
    return app


class JobQueue:
    """The sending side of the queue. If the broker is down, every call fails within seconds."""

    def __init__(self, broker_url: str) -> None:
        self._app = celery_app(broker_url)

    def send(self, job_id: str, *, gpus: int | None = None, gpu_class: str | None = None) -> None:
        """Send the message of a job to the workers of `queue_for`."""
        queue = queue_for(gpus, gpu_class)
        with self._connected() as connection:
            self._app.send_task(
                TRAIN, args=[job_id], connection=connection, retry=False, queue=queue
            )

    def depth(self, *, gpus: int | None = None, gpu_class: str | None = None) -> int:
        """Return how many messages of `queue_for` no worker has taken yet."""
        with self._connected() as connection:
            channel = connection.default_channel
            queue = channel.queue_declare(queue_for(gpus, gpu_class))  # type: ignore[no-untyped-call]
            return int(queue.message_count)

    def ping(self) -> None:
        """Raise `QueueUnavailable` unless the broker accepts a write.

        A read is not enough, because a broker may answer and still refuse messages.
        """
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
        except (OperationalError, RedisError) as error:  # no answer, or the write is refused
            raise QueueUnavailable(f"The broker is unavailable: {error}") from error


def dispatch(outbox: Outbox, queue: JobQueue) -> int:
    """Send the messages in the outbox and return how many were sent.

    Raise `QueueUnavailable` if the broker is down. The unsent messages stay in the outbox.
    """
    entries = outbox.unsent()
    for entry in entries:
        queue.send(entry.job_id, gpus=entry.gpus, gpu_class=entry.gpu_class)
        outbox.mark_sent(entry.id)
    return len(entries)
