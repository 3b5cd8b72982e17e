"""Customers and models: mood, satisfaction and churn, and how accurate the models are."""

from grafana_foundation_sdk.models import dashboard as model

from grafana import goals
from grafana.frame import CHANNEL, JOB, QUEUE, Band, Section, frame
from grafana.panels import (
    COUNT,
    GREEN,
    GREY,
    RED,
    SECONDS,
    SHARE,
    Column,
    Field,
    Key,
    Lines,
    Link,
    Panel,
    PanelText,
    Query,
    falling,
    lines,
    number,
    rising,
    rows,
    to_dashboard,
)
from operators.domain.stage.feedback import SCALES

MODEL = f'{JOB}, model=~"$model"'
RARE = "10m"
"""Least step where ratings and labels are counted: they are minutes apart."""
MOODS = {"negative": RED, "neutral": GREY, "positive": GREEN}
CONTENT, POOR = 3.5, 2.5
"""Satisfaction S of 0..5: a mean below 2.5 is more bad than good."""


def dashboard() -> model.Dashboard:
    """The dashboard `csq-customers`."""
    sections = [
        Section(
            "Now", [Band(4, [(6, _mood_now()), (6, _satisfaction_now()), (6, _ratings_now()), (6, _at_risk_now())])]
        ),
        Section(
            "What customers feel",
            [
                Band(8, [(8, _mood()), (8, _satisfaction()), (8, _ratings())]),
                Band(8, [(8, _parts()), (8, _languages()), (8, _promoters())]),
            ],
        ),
        Section("Churn", [Band(8, [(8, _at_risk()), (8, _churn()), (8, _complaints())])]),
        Section(
            "Can the models be believed",
            [
                Band(7, [(24, _models())]),
                Band(8, [(8, _accuracy()), (8, _loss()), (8, _calibration())]),
                Band(8, [(8, _examples()), (8, _delay()), (8, _lost())]),
            ],
        ),
    ]
    question = "What do customers feel, who is about to leave, and can the models be believed?"
    chosen = ("job", "queue", "channel", "model")
    return frame(goals.uid("customers"), "csq / Customers and models", question, chosen, sections, hours=24)


def _queue() -> Link:
    return to_dashboard("Waits of this queue", goals.uid("queues"), "queue=${__field.labels.queue}")


def polarity(selector: str, window: str, by: str = "") -> str:
    """Positive less negative messages, of all: -1..1."""

    def of(more: str) -> str:
        return f"sum{by} (increase(csq_turns_total{{{selector}{more}}}[{window}]))"

    positive, negative = (of(f', sentiment="{mood}"') for mood in ("positive", "negative"))
    return f"({positive} - {negative}) / {of('')}"


def mean(histogram: str, selector: str, window: str, by: str = "") -> str:
    """Mean of what a histogram counted."""
    total, count = (f"sum{by} (increase({histogram}_{part}{{{selector}}}[{window}]))" for part in ("sum", "count"))
    return f"{total} / {count}"


def satisfaction(selector: str, window: str, by: str = "") -> str:
    """Mean satisfaction S: 0..5."""
    return mean("csq_satisfaction_score", selector, window, by)


def good_ratings(selector: str, window: str, by: str = "") -> str:
    """Share of CSAT answers in the upper two fifths."""

    def of(more: str) -> str:
        return f'sum{by} (increase(csq_feedback_total{{{selector}, kind="csat"{more}}}[{window}]))'

    good = of(', score=~"4|5"')
    return f"{good} / {of('')}"


MOOD_STEPS = ((None, RED), (-0.2, "orange"), (0.0, GREEN))
"""Colours of a mood: green where positive messages outnumber negative ones."""


def _mood_now() -> Panel:
    words = PanelText(
        "Share of positive minus share of negative customer messages over the time range shown: -1 to 1.",
        "Above 0. What matters is the change: compare it with yesterday.",
        "Look at mood by queue below, then read negative conversations of the queue that fell.",
    )
    query = Query(polarity(CHANNEL, "$__range"), instant=True)
    return number("Mood", words, query, Field("none", MOOD_STEPS, 2, empty="no messages"))


def _satisfaction_now() -> Panel:
    words = PanelText(
        "Mean satisfaction S of the conversations of the time range shown, 0 to 5, from waiting, tone, mood, "
        "resolution and effort.",
        f"Above {CONTENT:g}.",
        "The parts below show what lowers it. csq.satisfaction.scored has them for each conversation.",
    )
    query = Query(satisfaction(CHANNEL, "$__range"), instant=True)
    return number("Satisfaction", words, query, Field("none", rising(CONTENT, POOR), 2, empty="no conversation ended"))


def _ratings_now() -> Panel:
    words = PanelText(
        "Share of CSAT answers of 4 or 5 over the time range shown.",
        "At or above the objective.",
        "Ratings follow waits by hours: look at the queues of that time. With few answers the share fluctuates.",
    )
    query = Query(good_ratings(QUEUE, "$__range"), instant=True)
    return number("Good ratings", words, query, Field(SHARE, goals.promised("csat"), 1, empty="no ratings"))


def _at_risk_now() -> Panel:
    words = PanelText(
        f"Customers whose churn probability is {goals.at_risk_from():g} or more, now.",
        "As last week; the number depends on how many customers there are.",
        "The topic csq.churn.scored lists them with reasons. Call those with an open complaint first.",
    )
    query = Query(f"sum(csq_customers_at_risk{{{JOB}}})")
    return number("Customers at risk", words, query, Field(COUNT, decimals=0))


def _mood() -> Panel:
    words = PanelText(
        "Share of positive minus share of negative customer messages, by queue: -1 to 1.",
        "Above 0, all queues alike.",
        "One queue falls: look at its replies and waits. All fall: the cause is in the shop, read some messages.",
    )
    query = Query(polarity(CHANNEL, "$__rate_interval", " by (queue)"), "{{queue}}")
    field = Field("none", MOOD_STEPS, 2, links=[_queue()], every=RARE)
    return lines("Mood by queue", words, [query], field)


def _satisfaction() -> Panel:
    words = PanelText(
        "Mean satisfaction S of the conversations that ended, by queue and channel.",
        f"Above {CONTENT:g}.",
        "Low in one channel: look at its waits. E-mails wait longer, and S decreases with the wait.",
    )
    query = Query(satisfaction(CHANNEL, "$__rate_interval", " by (queue, channel)"), "{{queue}} {{channel}}")
    field = Field("none", rising(CONTENT, POOR), 2, 0, 5, links=[_queue()], every=RARE)
    return lines("Satisfaction by queue and channel", words, [query], field, Lines(limit=True))


def _parts() -> Panel:
    words = PanelText(
        "Mean of each part of S where it is known: response (waiting), attitude, mood, resolution, effort; "
        "0 to 5, before its weight.",
        f"All above {CONTENT:g}, none falling.",
        "Response low: staffing, see the queues. Attitude: coaching. Resolution or effort: what agents may decide.",
    )
    query = Query(mean("csq_satisfaction_part", QUEUE, "$__rate_interval", " by (part)"), "{{part}}")
    field = Field("none", rising(CONTENT, POOR), 2, 0, 5, every=RARE, empty="no conversation ended")
    return lines("Satisfaction by part", words, [query], field, Lines(limit=True))


def _ratings() -> Panel:
    words = PanelText(
        "Share of CSAT answers of 4 or 5, by queue.",
        "Above the dashed line, the objective.",
        "Ratings fall and S does not: the satisfaction model no longer fits; see its loss below.",
    )
    query = Query(good_ratings(QUEUE, "$__rate_interval", " by (queue)"), "{{queue}}")
    field = Field(SHARE, goals.promised("csat"), low=0, high=1, links=[_queue()], every=RARE, empty="no ratings")
    return lines("Good ratings by queue", words, [query], field, Lines(limit=True))


def _languages() -> Panel:
    words = PanelText(
        "Customer messages per minute, by predicted sentiment and language.",
        "A small share of negative messages, and of language `other`, which has no labels.",
        "`other` grows: a new market, or a wrong language tag. Its messages are scored by the lexicon only.",
    )
    turns = f"sum by (sentiment, language) (rate(csq_turns_total{{{CHANNEL}}}[$__rate_interval])) * 60"
    query = Query(f"{turns} > 0", "{{sentiment}} {{language}}")
    return lines("Messages by sentiment and language", words, [query], Field(COUNT, low=0), Lines(stacked=True))


def _promoters() -> Panel:
    def of(kind: str, more: str = "") -> str:
        return f'sum(increase(csq_feedback_total{{{QUEUE}, kind="{kind}"{more}}}[$__rate_interval]))'

    low, high = SCALES["ces"]
    weighted = " + ".join(of("ces", f', score="{score}"') + f" * {score}" for score in range(low, high + 1))
    promoters, detractors = of("nps", ', score=~"9|10"'), of("nps", ', score=~"[0-6]"')
    words = PanelText(
        "Net promoter score (promoters, 9 or 10, less detractors, 0 to 6, of all: -1 to 1) and mean effort score "
        "(1 to 7, as a share of its scale), from surveys.",
        "Above 0, and effort in the upper half.",
        "With few answers it fluctuates: choose a longer time range. A lasting fall: compare first-contact resolution.",
    )
    queries = [
        Query(f"({promoters} - {detractors}) / {of('nps')}", "net promoters"),
        Query(f"(({weighted}) / {of('ces')} - {low}) / {high - low}", "effort"),
    ]
    field = Field(SHARE, low=-1, high=1, every="1h", empty="no NPS or CES answers in this time")
    return lines("Promoters and effort", words, queries, field)


def _at_risk() -> Panel:
    words = PanelText(
        f"Customers whose churn probability is {goals.at_risk_from():g} or more, by segment.",
        "Constant; it follows waits and complaints by days.",
        "A rise: find what changed two or three days ago (waits, complaints, prices); call valuable customers first.",
    )
    query = Query(f"sum by (segment) (csq_customers_at_risk{{{JOB}}})", "{{segment}}")
    return lines("At risk by segment", words, [query], Field(COUNT, low=0), Lines(stacked=True))


def _churn() -> Panel:
    words = PanelText(
        "Churn probability of the published scores, by segment: median and 90th percentile.",
        "The median is well below the threshold `churn.at_risk_from` (dashed).",
        "The median moves: the model or the customers changed; look at the calibration below.",
    )

    def quantile(share: float) -> str:
        buckets = f"sum by (le, segment) (rate(csq_churn_probability_bucket{{{JOB}}}[$__rate_interval]))"
        return f"histogram_quantile({share}, {buckets})"

    queries = [Query(quantile(0.5), "{{segment}} median"), Query(quantile(0.9), "{{segment}} p90")]
    field = Field(SHARE, falling(goals.at_risk_from()), low=0, high=1, every=RARE)
    return lines("Churn probability by segment", words, queries, field, Lines(limit=True))


def _complaints() -> Panel:
    words = PanelText(
        "Complaints opened, and orders cancelled and refunded, per hour.",
        "In proportion to orders.",
        "Severe complaints (4, 5) rise: find the product in csq.complaint.opened before anything else.",
    )
    complaints = f"sum by (severity) (rate(csq_complaints_total{{{JOB}}}[$__rate_interval])) * 3600"
    orders = f'sum by (outcome) (rate(csq_orders_total{{{JOB}, outcome!="completed"}}[$__rate_interval])) * 3600'
    queries = [Query(f"{complaints} > 0", "complaints of severity {{severity}}"), Query(orders, "orders {{outcome}}")]
    return lines("Complaints and orders lost per hour", words, queries, Field(COUNT, low=0, every=RARE))


def _models() -> Panel:
    right = goals.declared().slos["accuracy"].gauge
    least = right.at_least if right is not None else 0.0
    behind = goals.declared().thresholds.model_behind_seconds
    columns = [
        Column(
            "Examples", f"sum by (model) (increase(csq_model_examples_total{{{MODEL}}}[$__range]))", COUNT, decimals=0
        ),
        Column("Accuracy", f"max by (model) (csq_model_accuracy{{{MODEL}}})", SHARE, rising(least), 1),
        Column("AUC", f"max by (model) (csq_model_auc{{{MODEL}}})", "none", rising(0.7, 0.5), 3),
        Column("Loss", f"max by (model) (csq_model_loss{{{MODEL}}})", "none", decimals=3),
        Column("Calibration error", f"max by (model) (csq_model_calibration_error{{{MODEL}}})", "none", decimals=3),
        Column("Label delay", f"max by (model) (csq_model_label_delay_seconds{{{MODEL}}})", SECONDS),
        Column("Learned", f"time() - max by (model) (csq_model_updated_timestamp_seconds{{{MODEL}}})", SECONDS),
        Column(
            "Behind",
            f"max by (model) (csq_model_updated_timestamp_seconds{{{MODEL}}}) - "
            f"min by (model) (csq_model_updated_timestamp_seconds{{{MODEL}}})",
            SECONDS,
            falling(behind),
        ),
        Column("Version", f"max by (model) (csq_model_version{{{MODEL}}})", COUNT, decimals=0),
    ]
    words = PanelText(
        "Each model: examples of the time range shown, accuracy of its published scores, how long labels took, "
        "when it last learned, and how far the process that is farthest behind lags.",
        f"Accuracy above {least:.0%}, AUC above 0.7, no process behind.",
        "Behind: a process no longer reads the models topic, restart it. Learned long ago: no labels arrive.",
    )
    return rows("Models now", words, {"model": Key("Model")}, columns)


def _accuracy() -> Panel:
    right = goals.declared().slos["accuracy"].gauge
    least = right.at_least if right is not None else 0.0
    words = PanelText(
        "Share of labels that the published score predicted, by model. Scores are published before their labels.",
        "Above the dashed line; time below it counts against the objective.",
        "A slow fall: the language of customers changes, the model follows. A sudden fall: wrong labels.",
    )
    query = Query(f"max by (model) (csq_model_accuracy{{{MODEL}}})", "{{model}}")
    field = Field(SHARE, rising(least), 1, high=1, empty="no labels yet")
    return lines("Accuracy", words, [query], field, Lines(limit=True))


def _loss() -> Panel:
    words = PanelText(
        "Prequential loss by model: log loss; for satisfaction the absolute error in points (0 to 5).",
        "Constant or falling.",
        "A rise: wrong or late labels, or a change of the input. The alert compares with the week before.",
    )
    query = Query(f"max by (model) (csq_model_loss{{{MODEL}}})", "{{model}}")
    return lines("Loss", words, [query], Field("none", decimals=3, low=0, empty="no labels yet"))


def _calibration() -> Panel:
    words = PanelText(
        "Expected calibration error of the predicted class (not of satisfaction) and AUC (of churn), by model.",
        "Calibration error below 0.1; AUC above 0.7.",
        "Calibration error high, AUC good: the probabilities are wrong, the order of customers is right.",
    )
    queries = [
        Query(f"max by (model) (csq_model_calibration_error{{{MODEL}}})", "{{model}} calibration error"),
        Query(f"max by (model) (csq_model_auc{{{MODEL}}})", "{{model}} AUC"),
    ]
    return lines("Calibration and AUC", words, queries, Field("none", decimals=3, low=0, high=1, empty="no labels yet"))


def _examples() -> Panel:
    words = PanelText(
        "Examples learned per hour by model, weak ones included.",
        "Constant over the day.",
        "Zero: no labels arrive, or they match no message; see unmatched labels.",
    )
    query = Query(f"sum by (model) (rate(csq_model_examples_total{{{MODEL}}}[$__rate_interval])) * 3600", "{{model}}")
    return lines("Examples per hour", words, [query], Field(COUNT, low=0, every=RARE), Lines(stacked=True))


def _delay() -> Panel:
    words = PanelText(
        "Mean time from a score to its label, by model, with recent labels weighted more.",
        "Minutes for sentiment, days for churn; constant.",
        "A rise: the accuracy is that of older scores, and the model learns later.",
    )
    query = Query(f"max by (model) (csq_model_label_delay_seconds{{{MODEL}}})", "{{model}}")
    return lines("Label delay", words, [query], Field(SECONDS, low=0, empty="no labels yet"), Lines(log=True))


def _lost() -> Panel:
    words = PanelText(
        "Per hour: labels without a score, rollbacks to finite weights, and refused examples.",
        "All near zero.",
        "Unmatched: labels with wrong ids, or too late. Rollbacks: see the runbook.",
    )

    def hourly(name: str) -> str:
        return f"sum by (model) (rate({name}{{{MODEL}}}[$__rate_interval])) * 3600 > 0"

    queries = [
        Query(hourly("csq_labels_unmatched_total"), "{{model}} unmatched"),
        Query(hourly("csq_model_rollbacks_total"), "{{model}} rollbacks"),
        Query(hourly("csq_refused_features_total"), "{{model}} refused features"),
    ]
    field = Field(COUNT, low=0, every=RARE, empty="none")
    return lines("Lost labels and rollbacks", words, queries, field)
