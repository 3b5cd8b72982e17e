"""A few phrases in Spanish and German: for csq they are `other`. Agents and bots answer them in English."""

from .phrases import QUEUES, Phrases, lines
from .phrases_en import ENGLISH

SPANISH = ENGLISH._replace(
    things=("lámpara", "mochila", "cafetera", "chaqueta"),
    days=("el lunes", "el martes", "el jueves", "el sábado"),
    issues=dict.fromkeys(
        QUEUES,
        lines("""
            mi pedido {order} no ha llegado
            quiero devolver la {thing}
            no puedo entrar en mi cuenta
            hay un cargo que no conozco en mi factura
        """),
    ),
    firsts={
        "negative": lines("""
            ¡Esto es inaceptable! {issue}.
            Estoy muy enfadado, {issue}.
            Qué servicio tan malo: {issue}.
        """),
        "neutral": lines("""
            Hola, {issue}.
            Buenos días, {issue}, ¿qué debo hacer?
        """),
        "positive": lines("""
            Hola, me encanta la tienda, solo una cosa: {issue}.
            Siempre tan amables, gracias. {issue}.
        """),
    },
    answers={
        "negative": (
            "Eso no me ayuda nada.",
            "Ya lo dije dos veces.",
            "Qué vergüenza.",
        ),
        "neutral": ("El número es {order}.", "Lo compré {day}.", "Sí, esa."),
        "positive": (
            "Perfecto, muchas gracias.",
            "Qué rápido, genial.",
            "Muy bien explicado.",
        ),
    },
    nudges={
        "negative": ("¿No hay nadie? Es horrible.", "Sigo esperando, qué mal."),
        "neutral": ("¿Hola?", "¿Alguna novedad?"),
        "positive": ("¿Hola?", "¿Alguna novedad?"),
    },
    ends={
        "negative": ("No compro más aquí.", "Muy decepcionado."),
        "neutral": ("Vale.", "De acuerdo, adiós."),
        "positive": ("¡Muchas gracias, excelente!", "Muy contenta, gracias."),
    },
)
GERMAN = ENGLISH._replace(
    things=("Lampe", "Jacke", "Kaffeemaschine", "Tasche"),
    days=("Montag", "Dienstag", "Freitag", "Samstag"),
    issues=dict.fromkeys(
        QUEUES,
        lines("""
            meine Bestellung {order} ist nicht da
            ich möchte die {thing} zurückschicken
            ich komme nicht in mein Konto
            auf der Rechnung steht eine unbekannte Gebühr
        """),
    ),
    firsts={
        "negative": lines("""
            Das ist eine Frechheit, {issue}!
            Ich bin sehr verärgert: {issue}.
            So ein schlechter Service, {issue}.
        """),
        "neutral": lines("""
            Guten Tag, {issue}.
            Hallo, {issue}, was muss ich tun?
        """),
        "positive": lines("""
            Hallo, toller Laden! Nur eine Kleinigkeit: {issue}.
            Danke für die schnelle Lieferung! {issue}.
        """),
    },
    answers={
        "negative": (
            "Das hilft mir gar nicht.",
            "Das habe ich schon zweimal gesagt.",
            "Unmöglich, so etwas.",
        ),
        "neutral": ("Die Nummer ist {order}.", "Gekauft am {day}.", "Ja, genau die."),
        "positive": (
            "Super, vielen Dank.",
            "Das ging ja schnell, prima.",
            "Sehr gut erklärt.",
        ),
    },
    nudges={
        "negative": (
            "Ist da niemand? Furchtbar.",
            "Ich warte immer noch, sehr ärgerlich.",
        ),
        "neutral": ("Hallo?", "Gibt es etwas Neues?"),
        "positive": ("Hallo?", "Gibt es etwas Neues?"),
    },
    ends={
        "negative": ("Hier kaufe ich nie wieder.", "Sehr enttäuscht."),
        "neutral": ("Gut.", "In Ordnung, tschüss."),
        "positive": ("Vielen Dank, ausgezeichnet!", "Ich bin sehr zufrieden, danke."),
    },
)

OTHERS: dict[str, Phrases] = {"es": SPANISH, "de": GERMAN}
