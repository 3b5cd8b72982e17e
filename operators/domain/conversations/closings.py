"""Closings: messages that only thank, say goodbye or agree, and questions of ours after which a "yes" needs no answer.

A message is a closing if every word of it is in the list of one language and at least one is a thank, a goodbye or an
agreement. Where the words are of several languages, the one in which they say less counts: Danish `tak` is a thank,
Polish `tak` a yes. A word that is in no list, a question mark, a digit or a long text make it a message that needs an
answer: an answer too many is cheaper than a customer who waits unseen. Markup of mails is passed over; what a mail
quotes is not, so that a thank-you above a quoted question counts as a message.
"""

import re
from collections.abc import Iterable
from typing import Literal

Closing = Literal["", "thanks", "agreement"]

_MOST = 160
"""Characters of the longest text that is looked at, with its markup."""
_MOST_TEXT = 64
"""The same without it."""
_MOST_CHINESE = 24
_MARKUP = re.compile(r"<[^<>]*>|&nbsp;")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|[^\w\s]|[\d_]+")
_HAN = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

_THANKS = {
    "en": "thanks thank thankyou thx tnx ty cheers bye goodbye cya",
    "de": "danke dank dankeschön vielendank merci tschüss tschüß tschau wiedersehen wiederschauen",
    "es": "gracias adiós adios chao chau",
    "fr": "merci revoir bye",
    "it": "grazie arrivederci",
    "pt": "obrigado obrigada obg tchau adeus",
    "nl": "bedankt dank dankjewel dankuwel dankje doei groetjes",
    "pl": "dziękuję dziekuje dziękuje dzięki dzieki pozdrawiam widzenia",
    "sv": "tack hejdå",
    "da": "tak farvel",
    "no": "takk",
    "fi": "kiitos kiitoksia kiitti",
    "cs": "děkuji děkuju díky diky nashledanou nashle",
    "tr": "teşekkürler teşekkür tesekkurler sağol sağolun",
    "ru": "спасибо благодарю свидания пока",
}
"""A thank or a goodbye, by language; without words that are greetings too, like `ciao`."""
_AGREEMENT = {
    "en": "yes yep yeah ok okay sure great perfect fine good understood nice alright correct right no nope",
    "de": "ja jo ok okay gut super perfekt prima klar verstanden alles nein passt genau",
    "es": "sí si ok vale perfecto bien bueno claro entendido no",
    "fr": "oui ok okay parfait bien super entendu compris d'accord non",
    "it": "sì si ok va bene perfetto certo capito no",
    "pt": "sim ok perfeito certo ótimo otimo entendi beleza não nao",
    "nl": "ja ok oké oke prima perfect goed top begrepen nee",
    "pl": "tak ok okej dobrze super świetnie jasne nie",
    "sv": "ja ok okej bra perfekt toppen nej",
    "da": "ja ok okay fint perfekt godt nej",
    "no": "ja ok okei greit bra fint perfekt nei",
    "fi": "joo kyllä ok okei selvä hyvä ei",
    "cs": "ano ok dobře super jasně ne",
    "tr": "evet tamam ok peki hayır",
    "ru": "да ок хорошо отлично понятно ясно ладно нет",
}
"""An agreement, or a plain no."""
_BESIDE = {
    "en": "you u so very much a lot many again have nice day evening weekend one for the your help and all the best "
    "everything that is was helpful really kindly too appreciate it dear see soon later hi hello",
    "de": "schön sehr vielen auf ihnen dir euch für die hilfe ihre schnelle und einen noch schönen tag abend "
    "wochenende gruß grüße liebe viele mit freundlichen bis bald ist das war mal herzlichen tausend hallo ciao servus",
    "es": "muchas mil por la su ayuda todo muy amable y un saludo saludos que tenga buen buena día dia tarde hasta "
    "luego pronto hola",
    "fr": "beaucoup mille pour votre aide au et à bientôt bonne journée soirée très je vous remercie cordialement "
    "bonjour tout est salut",
    "it": "mille molte tante per l'aiuto aiuto e buona giornata serata a presto cordiali saluti di tutto buongiorno "
    "ciao",
    "pt": "muito pela ajuda e um bom boa dia tarde noite até logo mais tudo abraço olá",
    "nl": "je u wel voor de hulp en fijne dag avond nog hartelijk heel erg vriendelijke groet groeten met tot ziens "
    "alvast hoi",
    "pl": "bardzo za pomoc i miłego dnia do serdecznie pięknie cześć",
    "sv": "så mycket för hjälpen ha det en dag och trevlig hej",
    "da": "så mange for hjælpen hav en god dag og det hej",
    "no": "så mye for hjelpen ha en fin dag og det hei tusen",
    "fi": "paljon avusta ja hyvää päivää päivänjatkoa moi terve näkemiin hei moikka",
    "cs": "moc za pomoc a hezký den na shledanou dobrý ahoj",
    "tr": "ederim çok iyi günler yardımınız için merhaba",
    "ru": "большое огромное вам за помощь и до всего хорошего доброго дня очень здравствуйте",
}
"""What stands beside it and asks for nothing."""
_SIGNS = frozenset(".,!;:()-\u2013\u2014\u2026'\"\u2019\ufe0f\u200d~*\u3002\uff01\uff0c\u3001\uff0e")
_ENDS = ".,!;:()-'\"~*"
_THANKING = frozenset("🙏💐🌹👋🤝💖")
_NODDING = frozenset("👍👌✅🙂😊😀😃😄😁😍🥰❤♥💕🎉😉🤗💪✌😘🏻🏼🏽🏾🏿")

_CHINESE = re.compile(
    "(?:好的?|嗯+|哦+|行|可以|明白了?|知道了|了解了?|没事了?|没有了?|不用了?|谢谢?|谢了|多谢|感谢|非常感谢|辛苦了?|麻烦了?|"
    "再见|拜拜?|晚安|您|你|们|亲|啦|了|哈|呢|呀|啊|喽|的|非常|客服|小姐姐|小哥哥)+"
)
_CHINESE_STARTS = frozenset(re.findall("[\u3400-\u9fff]", _CHINESE.pattern))
_CHINESE_THANKS = re.compile("谢|再见|拜|辛苦了|晚安")


def _entries() -> dict[str, tuple[int, int, int]]:
    """Word -> a bit for each language that lists it: anywhere, as a thank or goodbye, as an agreement."""
    entries: dict[str, tuple[int, int, int]] = {}
    for place, language in enumerate(_THANKS):
        bit = 1 << place
        for lists, thanks, agreement in ((_THANKS, bit, 0), (_AGREEMENT, 0, bit), (_BESIDE, 0, 0)):
            for word in lists[language].split():
                known = entries.get(word, (0, 0, 0))
                entries[word] = (known[0] | bit, known[1] | thanks, known[2] | agreement)
    return entries


_ENTRIES = _entries()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OFFERS = _set(
    "shall should would can could may want like which what when where how who "
    "soll sollen möchte möchten wollen dürfen darf kann können welche welcher welches was wann wo wie wer "
    "quiere quieren quieres desea desean puedo podemos cuál qué cuándo dónde cómo "
    "voulez souhaitez puis pouvons dois quel quelle quels quelles quand où comment "
    "vuole desidera posso possiamo quale quando dove come gostaria quer deseja podemos qual onde "
    "zal zullen wil wilt willen mag kan kunnen welke wanneer waar hoe"
)
"""Words of an offer, or of a question that asks for more than a yes."""
_DONE = _set(
    "help helped helps helpful solve solved solves resolved sorted clear everything all work works worked working "
    "satisfied happy understood geholfen gelöst erledigt klar alles funktioniert zufrieden verstanden "
    "ayudó ayudado resuelto resuelta todo claro funciona satisfecho satisfecha "
    "aidé aidée résolu résolue réglé réglée clair tout marche fonctionne satisfait satisfaite "
    "aiutato aiutata risolto risolta tutto chiaro soddisfatto soddisfatta "
    "ajudou resolvido resolvida tudo satisfeito satisfeita geholpen opgelost duidelijk werkt tevreden"
)
"""Words of a question whether all is well."""
_OFFERS_ZH = re.compile("要不要|需要我|可以吗|要.{0,8}吗|帮您|为您|什么|哪|怎么|几")
_DONE_ZH = re.compile("解决|清楚|明白|满意|帮到")
_WORDS_ONLY = re.compile(r"[^\W\d_]+")


def closing_of(text: str | None) -> Closing:
    """Return what a customer's message is that needs no answer: `thanks`, or an `agreement`; empty for all others.

    >>> [closing_of(text) for text in ("Thanks, bye!", "Perfect, thank you 🙏", "<p>Vielen Dank</p>", "好的,谢谢亲")]
    ['thanks', 'thanks', 'thanks', 'thanks']
    >>> [closing_of(text) for text in ("Yes", "ok 👍", "Thanks?", "Thanks for nothing", "danke, aber wann")]
    ['agreement', 'agreement', '', '', '']
    >>> [closing_of(text) for text in ("tak", "tak, hav en god dag", "Ciao", "Hi")]
    ['agreement', 'thanks', '', '']
    """
    if text is None or len(text) > _MOST:
        return ""
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    if not 0 < len(text) <= _MOST_TEXT:
        return ""
    if text.isascii():
        words = text.lower().split()
        if not words or ((last := words[-1].strip(_ENDS)) not in _ENTRIES and last):
            return ""  # most messages: no further look
        return _of_words(words)
    if _HAN.search(text):
        return _chinese(text)
    return _of_words(_WORD.findall(text.lower()))


def _of_words(words: Iterable[str]) -> Closing:
    languages, thanks, agreement = -1, 0, 0
    for word in words:
        entry = _ENTRIES.get(word) or _ENTRIES.get(word.strip(_ENDS))
        if entry is not None:
            languages &= entry[0]
            thanks |= entry[1]
            agreement |= entry[2]
        elif word in _THANKING:
            thanks = -1
        elif word in _NODDING:
            agreement = -1
        elif word not in _SIGNS and word.strip(_ENDS):
            return ""
    if languages & agreement & ~thanks:
        return "agreement"
    return "thanks" if languages & thanks else ""


def _chinese(text: str) -> Closing:
    if len(text) > _MOST_CHINESE or (text[0] not in _CHINESE_STARTS and _HAN.match(text)):
        return ""
    words = "".join(sign for sign in text if not (sign.isspace() or sign in _SIGNS or sign in _NODDING))
    bare = "".join(sign for sign in words if sign not in _THANKING)
    if not _CHINESE.fullmatch(bare):
        return ""
    return "thanks" if bare != words or _CHINESE_THANKS.search(bare) else "agreement"


def only_asks(text: str | None) -> bool:
    """Whether a message of ours asks if all is well, and offers to do nothing: after it a plain "yes" needs no answer.

    >>> [only_asks(text) for text in ("Did that help?", "Shall I cancel the order?", "Is it this one?", "It is fine.")]
    [True, False, False, False]
    """
    if text is None or not ("?" in text or "\uff1f" in text or "吗" in text):
        return False
    if not text.isascii() and _HAN.search(text):
        return _DONE_ZH.search(text) is not None and _OFFERS_ZH.search(text) is None
    words = _WORDS_ONLY.findall(text.lower())
    return not _DONE.isdisjoint(words) and _OFFERS.isdisjoint(words)
