"""The settings: one file and the environment, strict, and every mistake with its place."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings import explain as explanation
from flows.settings.environment import paths, variable
from flows.settings.load import dump, explain, load
from flows.settings.model import Kafka, Outputs, Settings
from operators.documents.load import DocumentError
from operators.documents.secret import hidden
from operators.documents.validator import hints
from operators.domain.wire import outgoing

DEFAULTS = load(None, {})


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a settings file, and stays in its folder so that messages name it alone."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str) -> Path:
        path = Path("my.yaml")
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write_file


def mistakes(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load(path, environ or {})
    return str(caught.value).split("\n")


class TestFile:
    def test_what_it_does_not_name_keeps_its_default(self, write):
        settings = load(write("http: {port: 9000}"), {})

        assert settings == msgspec.structs.replace(DEFAULTS, http=msgspec.structs.replace(DEFAULTS.http, port=9000))

    @pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}"])
    def test_an_empty_one_means_all_defaults(self, write, text):
        assert load(write(text), {}) == DEFAULTS

    def test_a_section_whose_keys_are_all_commented_out_means_its_defaults(self, write):
        assert load(write("http:\n  # port: 9000\nkafka:\n  outputs:\n"), {}) == DEFAULTS

    def test_a_whole_number_is_a_number(self, write):
        assert load(write("dedupe: {window_seconds: 60}"), {}).dedupe.window_seconds == 60.0

    def test_words_that_yaml_1_1_takes_for_booleans_stay_words(self, write):
        assert load(write("labels: {segments: [NO, yes, on]}"), {}).labels.segments == ("NO", "yes", "on")


class TestMistake:
    @pytest.mark.parametrize(
        ("text", "reported"),
        [
            ("dedupe:\n  window_second: 5", "my.yaml, line 2: dedupe.window_second: unknown key; did you mean `window_seconds`?"),
            ("htpp: {}", "my.yaml, line 1: htpp: unknown key; did you mean `http`?"),
            ("log: {colour: red}", "my.yaml, line 1: log.colour: unknown key; known are level"),
            ("http: {port: '9000'}", "my.yaml, line 1: http.port: got text '9000', expected a whole number from 0 to 65535"),
            ("http: {port: 1_000}", "my.yaml, line 1: http.port: got text '1_000', expected a whole number from 0 to 65535"),
            ("http: {port: 70000}", "my.yaml, line 1: http.port: got 70000, expected a whole number from 0 to 65535"),
            ("http: {port: true}", "my.yaml, line 1: http.port: got true, expected a whole number from 0 to 65535"),
            ("http: {host: ''}", "my.yaml, line 1: http.host: got text '', expected text that is not empty"),
            ("http: {host: }", "my.yaml, line 1: http.host: got nothing, expected text that is not empty"),
            ("log: {level: loud}", "my.yaml, line 1: log.level: got text 'loud', expected debug, error, info or warning"),
            ("order:\n  out_of_order_seconds: .nan", "my.yaml, line 2: order.out_of_order_seconds: got text '.nan', expected a number from 0 to 3600"),
            ("order: {out_of_order_seconds: -1}", "my.yaml, line 1: order.out_of_order_seconds: got -1, expected a number from 0 to 3600"),
            ("state: {snapshot_seconds: 0}", "my.yaml, line 1: state.snapshot_seconds: got 0, expected a number above 0 to 3600"),
            ("kafka:\n  brokers:\n    - k1:9092\n    - 9092", "my.yaml, line 4: kafka.brokers[1]: got 9092, expected text"),
            ("kafka: {brokers: k1:9092}", "my.yaml, line 1: kafka.brokers: got text 'k1:9092', expected a list, each text"),
            ("kafka: {topics: []}", "my.yaml, line 1: kafka.topics: got a list, expected a list, each text that is not empty"),
            ("kafka: 5", "my.yaml, line 1: kafka: got 5, expected a table with "),
            ("kafka: [a]", "my.yaml, line 1: kafka: got a list, expected a table with "),
            ("kafka:\n  outputs: {turn: x}", "my.yaml, line 2: kafka.outputs.turn: unknown key; known are turn_scored, reply_measured"),
            ("kafka: {start: {csq.event: latest}}", "my.yaml, line 1: kafka.start: 'csq.event' is not one of kafka.topics (csq.events)"),
            ("kafka: {start: yesterday}", "my.yaml, line 1: kafka.start: got 'yesterday', expected earliest, latest or an ISO time"),
            ("5", "my.yaml, line 1: got 5, expected settings such as config/default.yaml"),
            ("- http", "my.yaml, line 1: got a list, expected settings such as config/default.yaml"),
            ("http: {port: 1}\nhttp: {port: 2}", "my.yaml, line 2, column 1: key `http` is given twice"),
            ("http:\n  port: [1", "my.yaml, line 2, column 11: expected ',' or ']'"),
            ("1: 2", "my.yaml, line 1, column 1: a key has to be text; put it in quotes"),
            ("log: &a {}\nhttp: *a", "my.yaml, line 1, column 6: anchors and aliases are not read"),
            ("http: {port: !!int '5'}", "my.yaml, line 1, column 14: tag tag:yaml.org,2002:int is not read"),
            ("http: {port: 1e999}", "my.yaml, line 1, column 14: the number is too large"),
            ("---\nhttp: {}\n---\nlog: {}", "my.yaml, line 3, column 1: but found another document"),
            ("http: {}\nlog: \x07", "my.yaml, line 2: character 7 is not allowed"),
        ],
    )  # fmt: skip
    def test_in_the_file_is_reported_with_line_path_and_expectation(self, write, text, reported):
        [line] = mistakes(write(text))

        assert line.startswith(reported)

    @pytest.mark.parametrize(
        ("text", "reported"),
        [
            ("kafka:\n  topics: [a]\n  librdkafka:\n    linger.ms: 5\n    acks: 0", "line 5: kafka.librdkafka: acks cannot be set to 0"),
            ("kafka:\n  librdkafka:\n    linger.ms: 5\n    linger: 5", "line 4: kafka.librdkafka: linger: csq allows no such setting"),
            ("kafka:\n  librdkafka:\n    linger.ms: 5\n    fetch.wait.max.ms: 5000", "line 4: kafka.librdkafka: fetch.wait.max.ms: got 5000"),
            ("kafka:\n  librdkafka:\n    linger.ms: 5\n    ssl.key.pem: x", "line 4: kafka.librdkafka: `ssl.key.pem` may be secret"),
            ("kafka:\n  security:\n    sasl.username: a\n    linger.ms: 5", "line 4: kafka.security: `linger.ms` is not one of"),
            ("kafka:\n  security:\n    sasl.username: a\n    sasl.mechanism: x", "line 4: kafka.security: `sasl.mechanism` is not one of"),
            ("kafka:\n  topics: [a]\n  start: yesterday", "line 3: kafka.start: got 'yesterday'"),
            ("kafka:\n  topics: [a, b]\n  start:\n    a: latest\n    b: yesterday", "line 5: kafka.start: got 'yesterday'"),
            ("kafka:\n  topics: [a]\n  start:\n    a: latest\n    b: latest", "line 5: kafka.start: 'b' is not one of kafka.topics (a)"),
            ("kafka:\n  topics: [a]\n  on_expired_offset:\n    a: error\n    b: error", "line 5: kafka.on_expired_offset: 'b' is not one of kafka.topics (a)"),
            ("kafka:\n  brokers:\n    - kafka:9092\n    - a:b@kafka:9092", "line 4: kafka.brokers: a broker is host:port"),
            ("kafka:\n  topics:\n    - a\n    - a", "line 4: kafka.topics[1]: topic 'a' is also kafka.topics[0]"),
            ("kafka:\n  topics: [a]\n  outputs:\n    deadletters: a", "line 4: kafka.outputs.deadletters: topic 'a' is also kafka.topics[0]"),
            ("promises:\n  channels:\n    chat: {limit_seconds: 60}\n    other: {limit_seconds: 60}", "line 4: promises: `other` stands for names"),
            ("promises:\n  queues:\n    billing: {limit_seconds: 60}\n    other: {limit_seconds: 60}", "line 4: promises: `other` stands for names"),
            ("promises:\n  queues:\n    billing:\n      channels:\n        other: {limit_seconds: 60}", "line 5: promises: `other` stands for names"),
            ("churn:\n  base_rate: 0.1\n  attributes:\n    region: category\n    mood: number", "line 5: churn.attributes: `mood` is the name of a built-in input"),
            ("privacy:\n  key_file:\n  pseudonyms: [email]", "line 3: privacy.pseudonyms needs privacy.key_file"),
        ],
    )  # fmt: skip
    def test_that_types_do_not_find_is_reported_with_the_line_of_its_key(self, write, text, reported):
        [line] = mistakes(write(text))

        assert line.startswith(f"my.yaml, {reported}")

    def test_that_types_do_not_find_in_a_variable_is_reported_with_its_name(self, write):
        path = write("kafka:\n  brokers: [kafka:9092]\n  librdkafka:\n    acks: all")

        [line] = mistakes(path, {"CSQ_KAFKA__LIBRDKAFKA": "{acks: 0}"})
        assert line.startswith("environment variable CSQ_KAFKA__LIBRDKAFKA: kafka.librdkafka: acks cannot be set to 0")

        [line] = mistakes(None, {"CSQ_KAFKA__BROKERS": "[kafka:9092]", "CSQ_KAFKA__START": "yesterday"})
        assert line.startswith("environment variable CSQ_KAFKA__START: kafka.start: got 'yesterday'")

    def test_of_several_keys_of_a_section_have_a_line_each(self, write):
        found = mistakes(
            write("""
            kafka:
              topics: [a, a]
              start: yesterday
              librdkafka:
                acks: 0
                linger: 5
              security:
                linger.ms: 5
            """)
        )

        assert [line.partition(": ")[0] for line in found] == [f"my.yaml, line {number}" for number in (3, 5, 6, 2, 8)]

    def test_all_of_them_are_reported_at_once(self, write):
        found = mistakes(write("http: {port: x}\nlog: {level: 1}\n"), {"CSQ_DEDUPE__WINDOW_SECONDS": "0"})

        assert found == [
            "my.yaml, line 1: http.port: got text 'x', expected a whole number from 0 to 65535",
            "my.yaml, line 2: log.level: got 1, expected debug, error, info or warning",
            "environment variable CSQ_DEDUPE__WINDOW_SECONDS: dedupe.window_seconds: got 0, expected a number above 0",
        ]

    def test_a_file_that_is_not_there_is_named(self, write):
        write("")

        assert mistakes(Path("other.yaml")) == [
            "other.yaml: cannot be read: No such file or directory; expected settings such as config/default.yaml"
        ]
        assert mistakes(Path())[0].startswith(".: cannot be read: Is a directory")

    def test_a_file_that_is_no_text_is_named(self, write):
        path = write("")
        path.write_bytes(b"log: \xff")

        assert mistakes(path)[0].startswith("my.yaml: cannot be read: it is not UTF-8 text")

    @given(st.text(max_size=200))
    def test_any_text_becomes_settings_or_a_reported_mistake(self, tmp_path_factory, text):
        path = tmp_path_factory.mktemp("any") / "my.yaml"
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            load(path, {})
        except DocumentError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - most texts raise, some are settings


class TestEnvironment:
    def test_wins_over_the_file(self, write):
        settings = load(write("http: {port: 9000, host: '::1'}"), {"CSQ_HTTP__PORT": "9001"})

        assert (settings.http.host, settings.http.port) == ("::1", 9001)

    def test_gives_lists_and_tables_as_yaml(self):
        settings = load(None, {"CSQ_KAFKA__BROKERS": "[k1:9092, k2:9092]", "CSQ_KAFKA__START": "{csq.events: latest}"})

        assert settings.kafka.brokers == ("k1:9092", "k2:9092")
        assert settings.kafka.start_of("csq.events") == "latest"

    def test_gives_text_as_it_is(self):
        assert load(None, {"CSQ_HTTP__HOST": "1234"}).http.host == "1234"

    @pytest.mark.parametrize(
        ("name", "value", "reported"),
        [
            ("CSQ_HTTP__PROT", "1", "CSQ_HTTP__PROT: http.prot: unknown key; did you mean `port`?"),
            ("CSQ_HTPP__PORT", "1", "CSQ_HTPP__PORT: htpp: unknown key; did you mean `http`?"),
            ("CSQ_HTTP__PORT", "many", "CSQ_HTTP__PORT: http.port: got text 'many', expected a whole number from 0 to 65535"),
            ("CSQ_HTTP__PORT", "[", "CSQ_HTTP__PORT: line 1, column 2: "),
            ("CSQ_HTTP_PORT", "9000", "CSQ_HTTP_PORT: unknown; did you mean `CSQ_HTTP__PORT`?"),
            ("CSQ_HTTP__PORT__X", "1", "CSQ_HTTP__PORT__X: http.port: got a table, expected a whole number"),
            ("CSQ___HTTP", "1", "CSQ___HTTP: unknown key; known are log, http"),
        ],
    )  # fmt: skip
    def test_a_wrong_variable_is_named(self, name, value, reported):
        [line] = mistakes(None, {name: value})

        assert line.startswith(f"environment variable {reported}")

    def test_of_other_programs_and_platforms_is_left_alone(self):
        environ = {
            "PATH": "x",
            "csq_http__port": "1",
            "CSQ_DATA": "x",
            "CSQ_SERVICE_HOST": "10.0.0.1",
            "CSQ_PORT": "tcp://1",
        }

        assert load(None, environ) == DEFAULTS

    def test_a_mistake_in_the_file_is_not_hidden_by_it(self, write):
        assert mistakes(write("http: 5"), {"CSQ_HTTP__PORT": "1"}) == [
            "my.yaml, line 1: http: got 5, expected a table with host, port, web_config_file"
        ]

    @pytest.mark.parametrize("path", paths(Settings), ids=variable)
    def test_reaches_every_setting(self, path):
        value = DEFAULTS
        for key in path:
            value = getattr(value, key)
        plain = value if isinstance(value, str) else msgspec.json.encode(value).decode()

        assert load(None, {variable(path): plain}) == DEFAULTS


class TestSecret:
    def test_is_read_from_text_file_or_variable(self, write):
        write("")
        Path("key").write_text("of a file\n", encoding="utf-8")
        path = write("""
            kafka:
              security:
                security.protocol: SASL_SSL
                sasl.password: {env: PASSWORD}
                ssl.key.password: {file: key}
                enable.ssl.certificate.verification: true
        """)

        config = load(
            path, {"PASSWORD": "of a variable", "CSQ_KAFKA__SECURITY__SASL_USERNAME": "a: #b"}
        ).kafka.client_config({})

        assert config["security.protocol"] == "SASL_SSL"
        assert config["sasl.password"] == "of a variable"
        assert config["ssl.key.password"] == "of a file"
        assert config["enable.ssl.certificate.verification"] == "true"
        assert config["sasl.username"] == "a: #b"

    def test_is_shown_nowhere(self):
        settings = load(
            None, {"CSQ_KAFKA__SECURITY__SASL_PASSWORD": "hunter2", "CSQ_KAFKA__SECURITY__SECURITY_PROTOCOL": "SSL"}
        )

        assert "hunter2" not in f"{settings} {settings!r} {dump(settings)}"
        assert "sasl.password: '***'" in dump(settings)
        assert "security.protocol: SSL" in dump(settings)

    @pytest.mark.parametrize(
        ("text", "reported"),
        [
            ("sasl.password: {env: NONE}", "kafka.security.sasl.password: environment variable NONE, which contains the secret, is not set"),
            ("sasl.password: {file: none}", "kafka.security.sasl.password: file none, which contains the secret, cannot be read: No such file or directory"),
            ("sasl.password: {path: x}", "kafka.security.sasl.password: expected text, {file: PATH} or {env: NAME}"),
            ("sasl.password: [hunter2]", "kafka.security.sasl.password: expected text, {file: PATH} or {env: NAME}"),
            ("security.protocol: hunter2", "kafka.security: `security.protocol` is not one of plaintext, ssl, sasl_plaintext, sasl_ssl"),
            ("sasl.mechanism: hunter2", "kafka.security: `sasl.mechanism` is not one of GSSAPI, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"),
            ("linger.ms: 5", "kafka.security: `linger.ms` is not one of security.*, sasl.*, ssl.*, enable.ssl.*, enable.sasl.*, https.ca.*; move it to kafka.librdkafka"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_read_is_reported_without_its_content(self, write, text, reported):
        [line] = mistakes(write(f"kafka:\n  security: {{{text}}}"))

        assert line.startswith("my.yaml, line ")
        assert line.endswith(reported)

    def test_in_the_address_of_a_broker_is_refused(self, write):
        [line] = mistakes(write("kafka: {brokers: ['SASL_SSL://anna:hunter2@kafka:9093']}"))

        assert line.endswith("kafka.brokers: a broker is host:port; user and password belong in kafka.security")
        assert hidden("hunter2") == "***"

    def test_is_known_to_whatever_writes_texts(self, write):
        load(None, {"CSQ_KAFKA__SECURITY__SASL_PASSWORD": "hunter2", "CSQ_KAFKA__SECURITY__SASL_USERNAME": "kafka"})

        assert hidden("kafka refuses hunter2") == "kafka refuses ***"

    def test_in_the_wrong_place_is_reported_without_its_content(self, write):
        [line] = mistakes(write("kafka: {security: hunter2}"))
        assert (
            line
            == "my.yaml, line 1: kafka.security: got text, expected a table, each value text, {file: PATH} or {env: NAME}"
        )

        [line] = mistakes(write("kafka: {librdkafka: {sasl.password: hunter2}}"))
        assert line == "my.yaml, line 1: kafka.librdkafka: `sasl.password` may be secret; move it to kafka.security"


class TestTopics:
    @pytest.mark.parametrize(
        ("kafka", "reported"),
        [
            ("topics: [a, b, a]", "kafka.topics[2]: topic 'a' is also kafka.topics[0]: it would be read twice"),
            ("outputs: {deadletters: csq.events}", "kafka.outputs.deadletters: topic 'csq.events' is also kafka.topics[0]: csq would read what it writes"),
            ("outputs: {turn_scored: csq.events}", "kafka.outputs.turn_scored: topic 'csq.events' is also kafka.topics[0]: csq would read what it writes"),
            ("models_topic: csq.events", "kafka.models_topic: topic 'csq.events' is also kafka.topics[0]: csq would read what it writes"),
            ("models_topic: csq.churn.scored", "kafka.models_topic: topic 'csq.churn.scored' is also kafka.outputs.churn_scored: readers of one would get the records of the other"),
            ("outputs: {deadletters: csq.turn.scored}", "kafka.outputs.deadletters: topic 'csq.turn.scored' is also kafka.outputs.turn_scored: readers of one would get the records of the other"),
        ],
    )  # fmt: skip
    def test_with_a_second_use_are_refused(self, write, kafka, reported):
        [line] = mistakes(write(f"http:\nkafka: {{{kafka}}}"))

        assert line == f"my.yaml, line 2: {reported}; give each a topic of its own"

    def test_of_outgoing_events_may_be_one(self, write):
        outputs = load(write("kafka: {outputs: {turn_scored: scores, churn_scored: scores}}"), {}).kafka.outputs

        assert outputs.turn_scored == outputs.churn_scored == "scores"

    def test_each_mistake_of_theirs_and_of_librdkafka_has_a_line(self, write):
        assert len(mistakes(write("kafka: {topics: [a, a], models_topic: csq.deadletters}"))) == 2
        assert len(mistakes(write("kafka: {librdkafka: {acks: 0, enable.idempotence: false, isolation: x}}"))) == 3


class TestDump:
    @given(
        st.builds(
            Kafka,
            brokers=st.lists(st.text(st.characters(exclude_characters="@"))).map(tuple),
            topics=st.lists(st.text(min_size=1), min_size=1, unique=True).map(tuple),
            librdkafka=st.dictionaries(st.just("linger.ms"), st.integers(-9, 9) | st.floats(-1e9, 1e9) | st.text() | st.booleans()),
        )
    )  # fmt: skip
    def test_read_again_gives_the_same_settings(self, tmp_path_factory, kafka):
        settings = msgspec.structs.replace(DEFAULTS, kafka=kafka)
        path = tmp_path_factory.mktemp("dump") / "my.yaml"
        path.write_text(dump(settings), encoding="utf-8")

        assert load(path, {}) == settings


class TestExplanation:
    def test_the_default_file_holds_exactly_the_defaults(self, write):
        assert load(write(explain()), {}) == DEFAULTS

    @pytest.mark.parametrize("path", paths(Settings), ids=variable)
    def test_every_setting_says_what_it_is_for(self, path):
        kind: Any = Settings
        for key in path:
            kind = hints(kind)[key]

        assert len(explanation.description(kind)) > 10

    def test_stale_files_are_found_and_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit, match=r"config/default\.yaml is not what the settings say; run `make docs`"):
            explanation.main(Settings, ["--check"])

        explanation.main(Settings, ["--write"])
        explanation.main(Settings, ["--check"])

        assert "| `port` | `9464` | a whole number from 0 to 65535 |" in Path("docs/settings.md").read_text(
            encoding="utf-8"
        )


def test_every_outgoing_stream_has_a_topic():
    assert set(Outputs().by_stream()) == set(outgoing.STREAMS)


@pytest.mark.parametrize(
    ("text", "variable", "said"),
    [
        ("conversations:\n  reply_limit_seconds: 60\n", {}, "my.yaml, line 2: conversations.reply_limit_seconds: moved to `promises.limit_seconds`"),
        ("queues: {grace_seconds: 5}\n", {}, "my.yaml, line 1: queues.grace_seconds: moved to `promises.grace_seconds`"),
        ("{}\n", {"CSQ_CONVERSATIONS__QUEUE_LIMITS": "{a: 5}"}, "environment variable CSQ_CONVERSATIONS__QUEUE_LIMITS: conversations.queue_limits: moved to `promises.queues`"),
    ],
)  # fmt: skip
def test_a_key_that_moved_says_where_it_is_now(text: str, variable: dict[str, str], said: str, tmp_path: Path):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        load(path, variable)
    assert str(caught.value).replace(f"{tmp_path}/", "") == said


def test_a_promise_whose_name_differs_only_in_case_from_a_label_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "my.yaml"
    path.write_text(
        "labels:\n  queues: [billing]\n  channels: [e-mail]\npromises:\n  queues:\n    Billing: {limit_seconds: 60}\n"
        "    orders:\n      channels:\n        'E-Mail ': {limit_seconds: 60}\n",
        encoding="utf-8",
    )
    with pytest.raises(DocumentError) as caught:
        load(path, {})
    assert str(caught.value).replace(f"{tmp_path}/", "").split("\n") == [
        "my.yaml, line 6: promises.queues.Billing: labels.queues says 'billing'; write both alike, as the events do",
        "my.yaml, line 9: promises.queues.orders.channels.E-Mail : labels.channels says 'e-mail'; write both alike, as the events do",
    ]
