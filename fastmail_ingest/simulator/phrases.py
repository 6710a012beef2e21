"""Words for made-up mails: people, subjects and sentences in several languages."""

# ruff: noqa: RUF001 - letters that look like Latin ones are the point here

from random import Random
from typing import TypeAlias

import msgspec

Address: TypeAlias = tuple[str, str]
"""Display name and address."""

PEOPLE: tuple[Address, ...] = (
    ("Anna Keller", "anna.keller@example.com"),
    ("Jonas Weber", "j.weber@example.net"),
    ("Marie Dubois", "marie.dubois@example.org"),
    ("Pedro Alvarez", "pedro@example.com"),
    ("Olivia Brown", "olivia.brown@example.co.uk"),
    ("Kenji Sato", "sato@example.jp"),
    ("Irina Petrova", "irina@example.ru"),
    ("Billing Robot", "no-reply@billing.example.com"),
    ("Weekly Digest", "digest@news.example.org"),
    ("Li Wei", "li.wei@example.cn"),
)


class Language(msgspec.Struct, frozen=True):
    """Subjects and sentences; `charset` is a legacy charset that can hold them all."""

    name: str
    charset: str
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]


ENGLISH = Language(
    "en",
    "us-ascii",
    (
        "Order confirmation",
        "Question about my invoice",
        "Meeting notes",
        "Your parcel is on its way",
        "Renewal",
    ),
    (
        "Thank you for your quick reply.",
        "The parcel arrived this morning, but one of the two boxes was damaged.",
        "Could you please send me a copy of the invoice for March?",
        "I have attached the signed contract and the photographs you asked for.",
        "We would like to move the meeting to Thursday afternoon if that suits everybody.",
        "Please find below the summary of what we agreed on.",
        "The total includes shipping and tax.",
        "Let me know if anything is missing.",
        "Our office is closed on Monday, so expect an answer by Tuesday at the latest.",
        "The new version fixes the problem with the export of long tables.",
    ),
)
GERMAN = Language(
    "de",
    "iso-8859-1",
    ("Bestellbestätigung", "Rückfrage zur Lieferung", "Grüße aus München", "Kündigung zum Jahresende"),
    (
        "Vielen Dank für Ihre schnelle Rückmeldung.",
        "Die Rechnung über 1.280,00 habe ich heute überwiesen.",
        "Könnten Sie mir bitte die Größe und das Gewicht des Pakets nennen?",
        "Wir prüfen den Vorgang und melden uns spätestens übermorgen.",
        "Anbei die Unterlagen für das Gespräch am Freitag.",
    ),
)
FRENCH = Language(
    "fr",
    "windows-1252",
    ("Facture n° impayée — rappel", "Réservation confirmée", "Problème d’accès à l’espace client"),
    (
        "Je vous remercie de votre réponse rapide.",
        "Le montant s’élève à 340 € toutes taxes comprises.",
        "Pourriez-vous m’envoyer une copie de la facture de février ?",
        "Notre équipe est à votre disposition du lundi au vendredi.",
        "« Tout est bien qui finit bien », comme on dit.",
    ),
)
JAPANESE = Language(
    "ja",
    "iso-2022-jp",
    ("ご注文ありがとうございます", "お問い合わせの件", "会議の日程について"),
    (
        "お世話になっております。",
        "ご注文の商品は本日発送いたしました。",
        "請求書を添付いたしますので、ご確認ください。",
        "会議は木曜日の午後三時からに変更となりました。",
        "何かご不明な点がございましたら、お気軽にお問い合わせください。",
    ),
)
RUSSIAN = Language(
    "ru",
    "koi8-r",
    ("Подтверждение заказа", "Вопрос по счёту", "Протокол встречи"),
    (
        "Спасибо за быстрый ответ.",
        "Посылка пришла сегодня утром, но одна из коробок повреждена.",
        "Пожалуйста, пришлите копию счёта за март.",
        "Мы свяжемся с вами не позднее вторника.",
    ),
)
EMOJI = Language(
    "emoji",
    "utf-8",
    ("🎉 You won a coffee ☕", "Happy birthday 🎂🥳", "Ship it 🚢🚀", "⚠️ Disk almost full"),
    (
        "See you at the party 🥳🎈, bring your 🎸!",
        "All tests are green ✅ and the release is out 🚀.",
        "Thank you 🙏, that was quick ⚡.",
        "Weather for the weekend: ☀️ 24 °C, then 🌧.",
    ),
)
LANGUAGES = (ENGLISH, GERMAN, FRENCH, JAPANESE, RUSSIAN, EMOJI)


def paragraph_lines(rng: Random, language: Language, sentences: int = 4) -> list[str]:
    """One paragraph, a sentence a line, with an empty line after it."""
    return [*rng.choices(language.sentences, k=sentences), ""]
