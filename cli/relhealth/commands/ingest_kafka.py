"""``relhealth ingest --from-kafka``: a topic becomes a data set, as a service or for cron."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from relhealth.core.errors import QuestionError
from relhealth.core.words import counted
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth.ingest.kafka_service import Topic
    from relhealth.ingest.run import Ingested

_KAFKA = "From Kafka"


class Kafka(NamedTuple):
    """What to read from Kafka, and how often."""

    from_kafka: Annotated[
        str | None,
        typer.Option(
            "--from-kafka",
            metavar="BROKERS",
            help="Read metric buckets from Kafka, such as host:9092,host2:9092, until SIGTERM or"
            " Ctrl-C.",
            show_default=False,
            rich_help_panel=_KAFKA,
        ),
    ] = None
    topic: Annotated[
        str,
        typer.Option("--topic", metavar="TOPIC", help="The topic.", rich_help_panel=_KAFKA),
    ] = "ingest-metrics"
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="The consumer group, for which Kafka keeps what was read.",
            show_default=False,
            rich_help_panel=_KAFKA,
        ),
    ] = None
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="LENGTH",
            help="How often what came becomes part of the data set, such as 30s or 5m.",
            rich_help_panel=_KAFKA,
        ),
    ] = "30s"
    until_end: Annotated[
        bool,
        typer.Option(
            "--until-end",
            help="Stop when all that is in the topic has been read, for cron.",
            rich_help_panel=_KAFKA,
        ),
    ] = False
    kafka_config: Annotated[
        Path | None,
        typer.Option(
            "--kafka-config",
            metavar="FILE",
            help="Further settings of the client, KEY=VALUE a line, such as those of TLS and SASL.",
            show_default=False,
            rich_help_panel=_KAFKA,
        ),
    ] = None

    def check(self) -> None:
        """Refuse options without --from-kafka, and with it a missing --group."""
        others = self.group or self.until_end or self.kafka_config is not None
        if self.from_kafka is None and others:
            raise QuestionError("--group, --until-end and --kafka-config need --from-kafka")
        if self.from_kafka is not None and not self.group:
            raise QuestionError("--from-kafka needs --group, for which Kafka keeps what was read")

    def topic_asked(self) -> "Topic":
        """Return the topic; raises ``QuestionError`` for a bad file of settings."""
        from relhealth.ingest.kafka_service import Topic, settings_of

        settings = {} if self.kafka_config is None else settings_of(self.kafka_config)
        return Topic(self.from_kafka or "", self.topic, self.group or "", settings)


def consumed(asked: Kafka, take: "Callable[[str, str], Ingested]", *, quiet: bool) -> "Ingested":
    """Ingest a topic batch by batch; return the result of all.

    ``take`` ingests the file of a batch as a part of the stream of a name.
    """
    from dataclasses import replace

    from relhealth.core.windows import parse_length
    from relhealth.ingest.kafka_service import consume
    from relhealth.ingest.run import Ingested, merged
    from relhealth.ingest.tally import Tally

    topic = asked.topic_asked()
    all_of_them: Ingested | None = None

    def batch(path: str) -> None:
        nonlocal all_of_them
        found = take(path, topic.stream)
        if not found.accepted and found.passed_over:  # known or other messages are no fault
            found = replace(found, faults=())
        all_of_them = merged(all_of_them, found)
        if not quiet:
            say(f"{counted(found.items, 'message')}, {counted(found.sessions, 'session')}")

    consume(
        topic,
        batch,
        every=parse_length(asked.every).total_seconds(),
        until_end=asked.until_end,
        warn=lambda text: say(f"warning: {text}"),
    )
    return all_of_them or Ingested(inputs=0, tally=Tally())
