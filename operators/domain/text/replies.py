"""Replies: what a customer says in a message of several lines, without what the mail program put around it.

Quoted lines, the line that introduces them ("On ... wrote:"), the header of a forwarded message, signatures,
disclaimers and "Sent from my iPhone" are taken out. Each line is looked at once, by patterns that do not depend on the
language where mail programs are alike, and by word lists of English, German, French, Spanish, Italian, Portuguese,
Dutch, Swedish, Danish, Norwegian, Finnish, Polish, Czech, Turkish, Russian, Chinese and Japanese where they are not.
"""
# ruff: noqa: RUF001 - the words and signs of many languages

import re

_LINES = 600
"""Lines that are looked at; what comes after them stays as it is."""
_WIDE = 400
"""Characters of a line that can be a heading: a longer one is prose."""
_TAIL = 160
"""Characters before the colon of a heading in which its verb stands: a name and a date follow it in some languages."""
_WRAPPED = 40
"""Characters from which a line may have been wrapped."""
_DEVICE_LINE = 80
"""Characters of "Sent from my ..." at most."""

_FROM = "from|von|de|da|van|från|fra|lähettäjä|od|kimden|gönderen|от|от кого|发件人|寄件者|差出人|보낸 사람"
_NEXT = (
    "sent|date|to|cc|subject|gesendet|datum|an|betreff|envoyé|envoyé le|à|objet|enviado|enviado el|fecha|para|asunto|"
    "inviato|data|a|oggetto|enviada|enviado em|assunto|verzonden|aan|onderwerp|skickat|till|ämne|sendt|dato|til|emne|"
    "lähetetty|päivämäärä|vastaanottaja|aihe|wysłano|do|temat|odesláno|komu|předmět|tarih|kime|konu|gönderildi|"
    "отправлено|дата|кому|тема|发送时间|日期|收件人|主题|主旨|送信日時|宛先|件名|보낸 날짜|받는 사람|제목"
)
_WROTE = (
    "wrote|writes|schrieb|schreibt|a écrit|escribió|ha scritto|escreveu|schreef|geschreven|skrev|skrifaði|kirjoitti|"
    "napisał|napisała|pisze|napsal|napsala|yazdı|написал|написала|пишет"
)
_REPEATED = (
    "original message|forwarded message|begin forwarded message|original email|reply message|ursprüngliche nachricht|"
    "originalnachricht|weitergeleitete nachricht|anfang der weitergeleiteten nachricht|message d'origine|"
    "message original|message transféré|début du message transféré|début du message réexpédié|mensaje original|"
    "mensaje reenviado|inicio del mensaje reenviado|messaggio originale|messaggio inoltrato|inizio messaggio inoltrato|"
    "mensagem original|mensagem encaminhada|mensagem reencaminhada|início da mensagem reencaminhada|"
    "oorspronkelijk bericht|oorspronkelijke bericht|doorgestuurd bericht|begin doorgestuurd bericht|"
    "ursprungligt meddelande|vidarebefordrat meddelande|vidarebefordrat brev|oprindelig meddelelse|"
    "videresendt besked|videresendt meddelelse|opprinnelig melding|videresendt melding|alkuperäinen viesti|"
    "välitetty viesti|wiadomość oryginalna|oryginalna wiadomość|przekazana wiadomość|wiadomość przekazana|"
    "původní zpráva|přeposlaná zpráva|orijinal mesaj|özgün ileti|iletilen mesaj|исходное сообщение|"
    "пересылаемое сообщение|пересланное сообщение|原始邮件|转发的邮件|转发邮件|元のメッセージ|転送メッセージ"
)
_APPS = "outlook|mail|yahoo|samsung|iphone|ipad|android|blackberry|proton|gmail|gmx|huawei|xiaomi|smartphone|mobile"
_DEVICE = (
    rf"sent (?:from|via|with) (?:my|{_APPS}|spark|hey)|get outlook for|"
    rf"gesendet (?:mit|von|aus) (?:meine[mr]|unterwegs|web|{_APPS})|von mein(?:em|er) .{{2,40}} gesendet|"
    rf"diese nachricht wurde von meinem|mit der .{{2,20}} app gesendet|holen sie sich outlook|outlook für|"
    rf"envoyé (?:de|depuis|à partir de|avec) (?:mon|ma|l['’]|courrier|{_APPS})|télécharger outlook|obtenez outlook|"
    rf"enviado (?:desde|de|do|a partir (?:de|do)) (?:mi|meu|mio|el|la|o|correo|{_APPS})|obtener outlook|"
    rf"obter o outlook|inviato da(?:l mio| mio|ll['’]| libero| (?:{_APPS}))|scarica outlook|ottieni outlook|"
    rf"(?:verzonden|verstuurd) (?:vanaf|vanuit|met|via) (?:mijn|{_APPS})|outlook voor|"
    rf"(?:skickat|skickades|sendt) fr(?:ån|a) (?:min|mitt|mit|{_APPS})|hämta outlook|hent outlook|"
    rf"lähetetty (?:laitteesta|puhelime|{_APPS})|hanki outlook|wysłan[eoy] z (?:moj|telefon|programu|poczt|{_APPS})|"
    rf"pobierz outlook|odesláno z|stáhnout outlook|(?:{_APPS}).{{1,8}} gönderildi|"
    rf"отправлено (?:с|из) (?:мо|мобил|почт|устройств|{_APPS})|发自我的|從我的|iphoneから送信|나의 iphone에서"
)
_CLOSING = (
    "(?:best|kind|warm|warmest|kindest|with (?:best|kind)|many) regards|regards|best wishes|all the best|sincerely|"
    "yours (?:sincerely|faithfully|truly)|sincerely yours|respectfully|best(?= *,)|"
    "(?:mit )?(?:freundliche[nm]?|besten?|herzliche[nm]?|liebe[nm]?|viele[nm]?|schöne[nm]?|sonnige[nm]?) "
    "(?:grüße?n?|grüsse?n?|gruß|gruss|gruessen?)|gruß|gruss|grüße|grüsse|mfg|hochachtungsvoll|"
    "(?:bien |très )?cordialement|bien à vous|salutations(?: distinguées)?|(?:meilleures|sincères) salutations|"
    "(?:un )?(?:cordial )?saludos?|saludos cordiales|un cordial saludo|atentamente|cordialmente|"
    "(?:cordiali|distinti|cari) saluti|saluti|un saluto|atenciosamente|cumprimentos|(?:com os )?melhores cumprimentos|"
    "(?:met )?(?:vriendelijke|hartelijke) groet(?:en)?|groet(?:en|jes)?|mvg|"
    "(?:med )?(?:vänliga|bästa) hälsningar|(?:med )?vänlig hälsning|hälsningar|mvh|(?:med )?(?:venlig|vennlig) hilsen|"
    "de bedste hilsner|hilsen|(?:ystävällisin )?terveisin|(?:z )?poważaniem|pozdrawiam(?: serdecznie)?|pozdrowienia|"
    "s pozdravem|saygılarımla|с уважением|此致|敬礼|此致敬礼|よろしくお願いします|よろしくお願いいたします"
)
_PERSON = r"(?=[^\W\d_][\w.-]{1,20}(?: [^\W\d_][\w.-]{0,20}){0,2}[ \t]*$)"
_LEGAL = (
    "this|the information|the contents|diese|dieses|ce|cet|cette|les informations|este|esta|questo|questa|"
    "le informazioni|la información|dit|deze|detta|denna|denne|dette|tämä|ta|niniejsza|tato|confidential|"
    "confidentiality|disclaimer|important|hinweis|caution|please consider|bitte denken|aviso|avis|avviso|本邮件|此邮件"
)
_DATED = re.compile(r"\b(?:19|20)\d\d\b|\d[:.h]\d\d|[^\s@]@[^\s@]|\d{1,2}[./]\d{1,2}[./]\d{2}|\d年")

_LINE = re.compile(
    r"\A[ \t]*+(?:(?P<quoted>>+(?:[ \t]*$|[ \t]+[^ \t\d]|[ \t]+\d(?=.{40})|[\"'*<\[]|[^\W\d]))"
    r"|(?P<mark>(?:--|—|–)[ \t]*$|\#\#-.{3,200}-\#\#)"
    rf"|(?P<repeated>[-_=*]{{0,20}}[ \t]*(?:{_REPEATED})[ \t]*(?:[-_=*]{{2,20}}|[:：])?[ \t]*$)"
    rf"|(?P<device>[(\[]?(?:{_DEVICE}))"
    rf"|(?P<begins>[*_]{{0,2}}(?:{_FROM})[ \t]?[:：])"
    rf"|(?P<legal>(?:{_LEGAL})\b)"
    rf"|(?P<closing>(?:{_CLOSING})[ \t]*[,.!/]*[ \t]*(?:$|{_PERSON})))",
    re.IGNORECASE,
)
_HEADER = re.compile(rf"\A[ \t]*[*_]{{0,2}}(?:{_NEXT})[ \t\u00a0]?[:：]", re.IGNORECASE)
_WRITES = re.compile(
    rf"\b(?:{_WROTE})\b|写道|寫道|のメール|님이 작성|napisał\(a\)|napsal\(a\)|написал\(а\)|>[ \t]*[:：]", re.IGNORECASE
)
_OPENS = re.compile(
    r"\A\W*(?:(?:on|am|le|el|il|em|no dia|op|den|dne|w dniu|dnia)\b|在|于|於|\d{1,4}[ .年/-]|[^\W\d_]{2,4}[., ]+\d)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    "confidential|privileged|intended (?:only|solely|recipient)|intended for|environment before printing|"
    "an die umwelt|vertraulich|irrtümlich|confidentiel|destinataire|confidencial|destinatari|riservat|confidenzial|"
    "vertrouwelijk|geadresseerde|konfidentiel|konfidensiel|fortrolig|luottamuksel|poufn|adresat|důvěrn|保密|机密",
    re.IGNORECASE,
)  # fmt: skip
_WORD = re.compile(r"[^\s\-_=*>#|.~]")
_RULE = " \t-_=*"  # what a line across the page is made of
_NAMES = 6
"""Lines below a closing such as "Kind regards" that are a signature, if none is longer than `_NAME` characters."""
_NAME = 60


def said(text: str) -> str:
    r"""The lines of a text that its author wrote, or the whole text if there are none.

    >>> said("It works, thank you!\n\nOn Wed, 4 Dec 2024 at 17:15, Sam <sam@example.com> wrote:\n> We are sorry")
    'It works, thank you!'
    >>> said("Am 04.12.2024 um 17:15 schrieb Sam:\n> Passt es?\nJa, danke.\n\nGesendet von meinem iPhone")
    'Ja, danke.'
    """
    if "\n" not in text:
        return text
    lines = text.split("\n", _LINES)
    kept = _without_closing(_own(lines))
    rest = "\n".join(kept).strip()
    return rest if _WORD.search(rest) else text


def _own(lines: list[str]) -> list[str]:
    """The lines without quotes, their headings, and all that follows a signature or a repeated message."""
    kept: list[str] = []
    heading, sure = -1, False  # where in `kept` the heading of a quote begins of which no line was seen yet
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        found = _LINE.match(line)
        kind = found.lastgroup if found else None
        if kind == "quoted":
            if heading >= 0:
                del kept[heading:]
            heading = -1
            continue
        if heading >= 0 and sure:  # the quote is not marked: all the rest is one
            return kept[:heading]
        heading = -1
        if _ends(kind, lines, number, kept):
            return kept
        if kind != "mark" and (kind != "device" or len(line) > _DEVICE_LINE) and line.strip(_RULE):
            kept.append(line)
            if line.rstrip().endswith((":", "\uff1a")):
                heading, sure = _heading(kept)
    return kept[:heading] if heading >= 0 and sure else kept


def _ends(kind: str | None, lines: list[str], number: int, kept: list[str]) -> bool:
    """Whether what follows is a signature, a repeated message or a disclaimer."""
    if kind == "mark":
        return any(map(_WORD.search, kept))
    return kind == "repeated" or _begins_message(kind, lines, number) or _is_disclaimer(kind, lines, number)


def _begins_message(kind: str | None, lines: list[str], number: int) -> bool:
    """Whether a line such as "From: Ann" is the first of a header."""
    if kind != "begins":
        return False
    behind = [line for line in lines[number + 1 : number + 6] if line.strip()][:2]
    return any(map(_HEADER.match, behind))


def _is_disclaimer(kind: str | None, lines: list[str], number: int) -> bool:
    """Whether a line that begins as a disclaimer does is one, with the lines that go on where it is wrapped."""
    if kind != "legal":
        return False
    whole = lines[number]
    if len(whole) >= _WRAPPED or whole.rstrip().endswith(":"):
        whole = " ".join(lines[number : number + 5])
    return _SECRET.search(whole[:_WIDE]) is not None


def _heading(kept: list[str]) -> tuple[int, bool]:
    """Where the heading begins that the last line ends, which may take three lines, and whether it is sure; or -1."""
    for size in (1, 2, 3):
        first = len(kept) - size
        if first < 0 or len(kept[first]) > _WIDE:
            break
        joined = " ".join(kept[first:])
        if _WRITES.search(joined, max(len(joined) - _TAIL, 0)) and _DATED.search(joined):
            above = kept[first - 1].rstrip() if first else ""
            if above.endswith(",") and len(above) <= _WIDE and _OPENS.match(above):
                return first - 1, True
            return first, "@" in joined or _OPENS.match(joined) is not None
    return -1, False


def _without_closing(kept: list[str]) -> list[str]:
    """The lines up to "Kind regards", if nothing but a few short lines follows."""
    for size in range(1, min(_NAMES + 1, len(kept)) + 1):
        line = kept[-size]
        found = _LINE.match(line)
        if found and found.lastgroup == "closing":
            return kept[:-size]
        if len(line) > _NAME:
            break
    return kept
