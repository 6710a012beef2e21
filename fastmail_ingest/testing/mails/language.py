"""What made-up mails say, and the charsets in which it is still sent today."""

from random import Random

import msgspec


class Language(msgspec.Struct, frozen=True):
    """Words of one language, a person's name, and the charsets that can hold them, as labels in a mail."""

    code: str
    person: str
    words: str
    charsets: tuple[str, ...]

    def sentence(self, draw: Random, count: int) -> str:
        """So many words in any order: it need not mean anything."""
        return " ".join(draw.choices(self.words.split(), k=count))


LANGUAGES = (
    Language(
        "en",
        "Ann Baker",
        "order invoice please tomorrow meeting thank you parcel late answer",
        ("us-ascii", "utf-8"),
    ),
    Language(
        "de",
        "Jörg Müßig",
        "Grüße Straße Rechnung müssen später Angebot fünf Äpfel",
        ("iso-8859-1", "iso-8859-15", "windows-1252", "utf-8"),
    ),
    Language(
        "fr",
        "Zoé Lefèvre",
        "facture reçue déjà très œuvre voilà où être",
        ("windows-1252", "iso-8859-15", "utf-8"),
    ),
    Language("es", "Íñigo Peña", "mañana señor ¿cuándo? pedido también año", ("iso-8859-1", "utf-8")),
    Language(
        "pl",
        "Żaneta Łoś",
        "zażółć gęślą jaźń dziękuję wysyłka późno",
        ("iso-8859-2", "windows-1250", "utf-8"),
    ),
    Language("tr", "Ayşe Gül", "teşekkür ödeme şimdi göğüs çiçek", ("iso-8859-9", "windows-1254", "utf-8")),
    Language(
        "ru",
        "Иван Щукин",
        "счёт заказ спасибо завтра встреча подъезд",
        ("koi8-r", "windows-1251", "iso-8859-5", "utf-8"),
    ),
    Language("uk", "Олена Їжак", "дякую рахунок їжак ґанок завтра", ("koi8-u", "windows-1251", "utf-8")),
    Language(
        "el", "Νίκος Ωραίος", "τιμολόγιο ευχαριστώ αύριο παραγγελία", ("iso-8859-7", "windows-1253", "utf-8")
    ),
    Language("he", "דנה לוי", "שלום תודה מחר הזמנה", ("iso-8859-8", "windows-1255", "utf-8")),
    Language("ar", "ليلى حسن", "شكرا فاتورة غدا طلب", ("windows-1256", "iso-8859-6", "utf-8")),
    Language(
        "ja",
        "山田花子",
        "請求書 明日 会議 ありがとう カタログ",
        ("iso-2022-jp", "shift_jis", "euc-jp", "utf-8"),
    ),
    Language("zh", "王小明", "发票 明天 会议 谢谢 订单", ("gb2312", "gbk", "gb18030", "utf-8")),
    Language("tw", "陳大文", "發票 明天 會議 謝謝 訂單", ("big5", "utf-8")),
    Language("ko", "김영희", "영수증 내일 회의 감사합니다", ("euc-kr", "utf-8")),
    Language("th", "สมชาย", "ขอบคุณ พรุ่งนี้ ใบแจ้งหนี้", ("tis-620", "utf-8")),
    Language("mul", "Zoë 🦊", "🎉 ✓ naïve 漢字 ελ שלום e\u0301 👩\u200d💻", ("utf-8",)),
)

LABELS_NOBODY_KNOWS = (
    "no-such-charset",
    "utf8mb4",
    "ansi",
    "x-unknown",
    "unknown-8bit",
    "utf-7",
    "utf-16",
    "utf-32",
    "idna",
    "punycode",
    "rot13",
    "zlib",
    "hex",
    "undefined",
    "unicode-escape",
    "iso-2022-kr",
    "hz-gb-2312",
    "iso-8859-8-i",
    "cp932",
    "windows-874",
    "",
    '"',
    "=?utf-8?q?x?=",
    "a" * 300,
    "utf-8\x00",
    "UTF\u20138",
)
"""Charset labels that are wrong, dangerous to look up, or not charsets at all."""
