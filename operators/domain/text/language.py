"""Language: which of the models a message belongs to, `en`, `zh` or `other`.

A declared tag decides. Without one the script does (Han without kana or hangul is Chinese, any script but Latin is
other), and for Latin letters the small words: `foreign` counts them, `vectorize` adds them up.
"""

import re

_CODES = {"en": 0, "zh": 1}
OTHER = 2
UNDECLARED = 3
"""Latin letters, or no letters: the function words decide."""

_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_KANA_HANGUL = re.compile("[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_STRANGE = re.compile("[^\0-\x7f\u00c0-\u024f\u1e00-\u1eff]+")
_TAGS = 1_000
_LETTERS = 3  # of the Latin script weigh as much as one Han character
_FEW = 10  # so many Han characters per kana may occur in Chinese, as in names of brands

_ENGLISH = """a about all am an and any are as at be been but by can cant could did do does dont for from get got had
has have he her him his how i if im in into is isnt it its ive just like me my no not now of off on or our out please
she so thanks than that the their them then there they this to today u up was we were what when where which who why
will with would yes you your"""
_GERMAN = """aber als am auch auf aus bei bin bitte da das dass dem den der des die doch du ein eine einen einer er es
für haben hat ich ihr ihre im in ist ja kann kein keine mein meine mich mir mit nach nicht noch nur oder sehr sich
sie sind so über um und uns von vor war warum was wenn wer wie wieder wir wird zu zum"""
_SPANISH = """a al como con cuando de del desde donde el ella en eres es esta está este esto estoy fue gracias ha hay he
la las le lo los más me mi muy nada ni no nos o para pero por porque qué que se si sin sobre son su sus también te
tiene tengo todo tu un una uno y ya yo"""
_FRENCH = """ai au aux avec bonjour c'est ça ce ces cette dans de des du elle en est et être faire fait il ils j'ai je
la le les leur lui ma mais me merci mes moi mon n'est ne nous on ou où par pas plus pour pourquoi qu'il que qui sa sans
se ses si son sont sur ta te tout très tu un une vos votre vous y"""
_ITALIAN = """ai al alla anche buongiorno che chi ci come con cosa da dal de del della di dove e è gli grazie ha ho i il
in io la le lei lo ma mi mia mio molto ne nel nella no noi non o per perché più quando questa questo se sei sempre si
sono su tu tutto un una vi"""
_PORTUGUESE = """a ao as até com como da das de do dos e é ela ele em então era essa esse esta está este eu foi isso já
la mais mas me meu minha muito na nada não nas no nos o obrigado os ou para pela pelo por porque qual quando que se sem
ser seu só sua também te tem um uma vocês você"""
_DUTCH = """aan al als bij ben dat de deze die dit door dus een en er ge geen goed graag heb hebben heeft het hier hoe
ik in is jullie kan maar me meer met mijn naar niet nog nu of om onze ook op over te tot uit van veel voor waar waarom
wanneer was wat we wel wij worden zijn zo"""

_OURS = frozenset(_ENGLISH.split())
_THEIRS = frozenset(f"{_GERMAN} {_SPANISH} {_FRENCH} {_ITALIAN} {_PORTUGUESE} {_DUTCH}".split())
_FOREIGN = {**dict.fromkeys(_THEIRS - _OURS, 1), **dict.fromkeys(_OURS - _THEIRS, -1)}


def foreign(word: str) -> int:
    """1 for a small word of another language in Latin letters, -1 for one of English, 0 for both or none.

    >>> foreign("nicht"), foreign("with"), foreign("in")
    (1, -1, 0)
    """
    return _FOREIGN.get(word, 0)


class Tags(dict[str | None, int]):
    """BCP 47 tag -> place in `LANGUAGES`, or `UNDECLARED`; only the first part of the tag is looked at.

    >>> [Tags()[tag] for tag in ("en-GB", "zh_Hans", "DE", None, "")]
    [0, 1, 2, 3, 3]
    """

    def __missing__(self, tag: str | None) -> int:
        code = UNDECLARED
        if tag and tag.lower() != "und":
            code = _CODES.get(re.split("[-_]", tag.lower(), maxsplit=1)[0], OTHER)
        if len(self) < _TAGS:  # what producers declare is bounded, what they invent is not
            self[tag] = code
        return code


def by_script(text: str) -> int:
    """The language by script: its index in `LANGUAGES`, or `UNDECLARED` for Latin letters and no letters.

    >>> by_script("很快,好吃 ok"), by_script("とても速い"), by_script("очень"), by_script("très bon"), by_script("😡")
    (1, 2, 2, 3, 3)
    """
    if text.isascii() or not _LETTER.search("".join(_STRANGE.findall(text))):  # accents, signs, emoji: nothing to count
        return UNDECLARED
    han = len(_HAN.findall(text))
    letters = len(_LETTER.findall(text))
    latin = len(_LATIN.findall(text))
    if latin >= _LETTERS * (letters - latin):
        return UNDECLARED
    kana = len(_KANA_HANGUL.findall(text))
    return 1 if han > _FEW * kana and han * 2 >= letters - latin else OTHER
