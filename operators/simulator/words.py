"""What people in the shop say: a phrase for the moment and the mood, with its slots filled and a human touch.

Moods move the words; once in a while a customer writes plainly whatever the mood, adds an emoji, shouts, mistypes, or
gives away a mail address, a phone or a card number (all of them reserved for examples, cards pass the Luhn check).
"""

from random import Random

from .params import SimulatorParams
from .phrases import Lines, Phrases
from .phrases_en import ENGLISH
from .phrases_more import OTHERS
from .phrases_zh import CHINESE

LANGUAGES: dict[str, Phrases] = {"en": ENGLISH, "zh": CHINESE, **OTHERS}

_PLAIN_SHARE = 0.06
_EMOJI_SHARE = 0.08
_SHOUT_SHARE = 0.06
_TYPO_SHARE = 0.04
_SECRET_SHARE = 0.02

_EMOJI = {"negative": "😡😠👎😤🙄💔", "neutral": "🤔📦🙂", "positive": "😊👍🎉❤😀🙏"}
_SECRETS = (
    "My mail is {name}{n}@example.com.",
    "Write to {name}.{n}@example.org please.",
    "Call me at +44 20 7946 0{n}.",
    "My phone is (212) 555-0{n}.",
    "My card is 4111 1111 1111 1111.",
    "I paid with 5555-5555-5555-4444.",
    "Card 378282246310005.",
    "Card number: 6011 1111 1111 1117",
)
_NAMES = ("anna", "jo.park", "maria", "li_wei", "tom", "sven")
_NOTES = (
    "Customer seems upset, asked the warehouse.",
    "Checked {order}: label printed, not scanned yet.",
    "Second contact this week, offer a voucher?",
    "Waiting for billing to confirm.",
    "Same fault as in the list of {day}.",
)
_SYSTEM = (
    "Conversation moved to another agent.",
    "The customer has left the page.",
    "Office hours: 8 to 20.",
)


class Words:
    """The tongue of everybody in the shop; draws from one `rng`, so the same seed says the same."""

    def __init__(self, rng: Random, params: SimulatorParams) -> None:
        self._rng = rng
        self._chinese = params.chinese_share
        self._other = params.chinese_share + params.other_language_share

    def language(self) -> str:
        """Draw the language of a new customer."""
        draw = self._rng.random()
        if draw < self._chinese:
            return "zh"
        if draw < self._other:
            return "es" if self._pick("ab") == "a" else "de"
        return "en"

    def customer(self, language: str, moment: str, mood: str, queue: str) -> str:
        """Say what a customer says; `moment` is first, answer, nudge or end."""
        phrases = LANGUAGES[language]
        said = "neutral" if self._chance(_PLAIN_SHARE) else mood
        if moment == "first":
            issue = self._fill(self._pick(phrases.issues[queue]), phrases)
            text = self._fill(self._pick(phrases.firsts[said]), phrases, issue)
        else:
            by_mood = {
                "answer": phrases.answers,
                "nudge": phrases.nudges,
                "end": phrases.ends,
            }[moment]
            text = self._fill(self._pick(by_mood[said]), phrases)
        return self._touch(text, said)

    def agent(self, language: str, moment: str, tone: str) -> str:
        """Say what an agent says; `moment` is greet, answer or close, `tone` polite or curt."""
        phrases = LANGUAGES[language]
        return self._fill(self._pick(phrases.agent[tone][moment]), phrases)

    def bot(self, language: str, moment: str) -> str:
        """Say what the bot says; `moment` is greet, answer, handoff or close."""
        phrases = LANGUAGES[language]
        return self._fill(self._pick(phrases.bot[moment]), phrases)

    def note(self) -> str:
        """Write a private note among agents."""
        return self._fill(self._pick(_NOTES), ENGLISH)

    def system(self) -> str:
        """Write what the chat system says by itself."""
        return self._pick(_SYSTEM)

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _pick(self, choices: Lines | str) -> str:
        # The fastest fair draw of random.Random that is the same in every Python version.
        return choices[int(self._rng.random() * len(choices))]

    def _fill(self, phrase: str, phrases: Phrases, issue: str = "") -> str:
        if "{" not in phrase:
            return phrase
        return phrase.format(
            issue=issue,
            thing=self._pick(phrases.things),
            gadget=self._pick(phrases.gadgets),
            day=self._pick(phrases.days),
            order=10_000 + int(self._rng.random() * 90_000),
            n=2 + int(self._rng.random() * 20),
        )

    def _touch(self, text: str, mood: str) -> str:
        if self._chance(_EMOJI_SHARE):
            text = f"{text} {self._pick(_EMOJI[mood])}"
        if mood == "negative" and self._chance(_SHOUT_SHARE):
            text = text.upper() + "!!"
        if self._chance(_TYPO_SHARE):
            text = self._mistype(text)
        if self._chance(_SECRET_SHARE):
            secret = self._pick(_SECRETS).format(name=self._pick(_NAMES), n=100 + int(self._rng.random() * 100))
            text = f"{text} {secret}"
        return text

    def _mistype(self, text: str) -> str:
        at = int(self._rng.random() * len(text))
        return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
