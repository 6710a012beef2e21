"""What the senders of the demo's mails have to say."""

# ruff: noqa: RUF001 - letters that look like Latin ones are the point here

import msgspec


class Story(msgspec.Struct, frozen=True):
    """One mail as a person would tell it."""

    sender: str
    subject: str
    text: str


SUPPORT = (
    Story(
        "Anna Keller <anna.keller@example.com>",
        "Teapot arrived with a chipped lid",
        "Hello,\n\nmy order 10482 came today, beautifully packed, but the lid of the teapot is chipped.\n"
        "Could you send me a new one? I can bring the old one to the post office.\n\nKind regards\nAnna\n",
    ),
    Story(
        "Jonas Weber <j.weber@example.net>",
        "Where is my parcel?",
        "Hi there,\n\nthe tracking page has said 'in transit' since last Tuesday. Is it lost?\n\nJonas\n",
    ),
    Story(
        "Marie Dubois <marie.dubois@example.org>",
        "Changement d'adresse de livraison",
        "Bonjour,\n\nje viens de déménager à Lyon. Pouvez-vous livrer la commande 10491 ici ?\n\n"
        "12 rue des Tanneurs\n69005 Lyon\n\nMerci beaucoup !\nMarie\n",
    ),
    Story(
        "Kenji Sato <sato@example.jp>",
        "抹茶の在庫について",
        "お世話になっております。\n\n宇治抹茶 100g の入荷はいつ頃になりますでしょうか。\n\n佐藤\n",
    ),
    Story(
        "Olivia Brown <olivia.brown@example.co.uk>",
        "Re: Teapot arrived with a chipped lid",
        "Same here! Perhaps the whole batch had the problem? Mine is order 10483.\n\nOlivia\n",
    ),
    Story(
        "Pedro Álvarez <pedro@example.com>",
        "¿Se puede devolver un té abierto?",
        "Buenos días:\n\nHe abierto el Darjeeling y no me gusta. ¿Puedo devolverlo?\n\nUn saludo,\nPedro\n",
    ),
    Story(
        "Sofie Lindqvist <sofie@example.se>",
        "Cannot log in to my account",
        "Hello,\n\nafter the update of your shop my password is refused, and the reset mail never arrives.\n"
        "I have looked into the spam folder.\n\nSofie\n",
    ),
    Story(
        "Tom Okafor <tom.okafor@example.com>",
        "Wrong tea in the bag",
        "The label says Assam, the smell says peppermint. My nose is rarely wrong.\n\nTom\n",
    ),
    Story(
        "Ирина Петрова <irina@example.ru>",
        "Спасибо!",
        "Здравствуйте!\n\nПосылка пришла за три дня, чай чудесный. Спасибо большое!\n\nИрина\n",
    ),
    Story(
        "Grace Chen <grace.chen@example.com>",
        "Gift wrapping for 14 parcels 🎁",
        "Hi,\n\nwe would like to send 14 colleagues a sampler box each. Can you wrap them all, with a card?\n"
        "The list of addresses will follow on Monday.\n\nThanks! 🎄\nGrace\n",
    ),
    Story(
        "Lukas Huber <lukas@example.at>",
        "Bitte um Rückruf",
        "Grüß Gott,\n\nbitte rufen Sie mich wegen der Großbestellung für unser Café zurück.\n\nLukas Huber\n",
    ),
    Story(
        "Anna Keller <anna.keller@example.com>",
        "New lid is here, thank you!",
        "What a quick answer. The lid fits, the tea tastes twice as good.\n\nAnna\n",
    ),
)

INVOICES = (
    Story(
        "Billing <billing@leafimports.example>",
        "Invoice 2041: Darjeeling first flush, 40 kg",
        "Dear customer,\n\nplease find attached our invoice over 1,860.00 EUR.\nPayable within 30 days.\n",
    ),
    Story(
        "Rechnungsstelle <rechnung@kartonagen.example>",
        "Rechnung 2042: Versandkartons, 600 Stück",
        "Sehr geehrte Damen und Herren,\n\nanbei unsere Rechnung über 318,50 EUR. Vielen Dank!\n",
    ),
    Story(
        "Parcel Post <accounts@parcelpost.example>",
        "Your monthly statement",
        "412 parcels were sent last month. The amount of 2,214.80 EUR will be debited on the 15th.\n",
    ),
    Story(
        "Host & Cloud <no-reply@hosting.example>",
        "Invoice 2044 for your server",
        "Hello,\n\nyour invoice over 24.90 EUR is attached. Nothing to do, we charge your card.\n",
    ),
    Story(
        "Céramiques Martin <compta@ceramiques-martin.example>",
        "Facture 2045 : 120 théières émaillées",
        "Bonjour,\n\nvous trouverez ci-joint la facture de 3 480,00 €.\n\nCordialement\nLa comptabilité\n",
    ),
    Story(
        "Energy Works <service@energyworks.example>",
        "Your bill for the warehouse",
        "The meter says 1,920 kWh. The bill of 537.60 EUR is attached.\n",
    ),
    Story(
        "Billing <billing@leafimports.example>",
        "Reminder: invoice 2041 is due in 5 days",
        "Dear customer,\n\na friendly reminder. If you have paid already, please ignore this mail.\n",
    ),
    Story(
        "山田製茶 <keiri@yamada-tea.example>",
        "請求書 2048（宇治抹茶 20kg）",
        "平素よりお世話になっております。\n\n請求書をお送りいたします。ご確認のほどお願いいたします。\n",
    ),
    Story(
        "Print Shop <hello@printshop.example>",
        "Invoice 2049: 2,000 labels, matt",
        "Hi,\n\nthe labels are on their way, the invoice over 189.00 EUR is attached.\n\nHave a good week!\n",
    ),
    Story(
        "Accounting <office@ledger-and-partners.example>",
        "Fee note for the annual accounts",
        "Dear all,\n\nour fee note is attached. Please call if anything is unclear.\n",
    ),
    Story(
        "Leaf Imports <credit@leafimports.example>",
        "Credit note for the wet sack",
        "As agreed on the phone: a credit note over 46.50 EUR. Sorry for the trouble.\n",
    ),
    Story(
        "Parcel Post <accounts@parcelpost.example>",
        "Surcharge for islands",
        "Three parcels went to islands. The surcharge of 21.00 EUR is explained in the attachment.\n",
    ),
)

NEWSLETTERS = (
    Story(
        "Tea Weekly <digest@teaweekly.example>",
        "Why water from the second boil tastes flat",
        "This week: oxygen, hard water, and a blind test by readers.\nAlso: a visit to a kettle maker.\n",
    ),
    Story(
        "Small Shop Letter <letter@smallshop.example>",
        "Seven ways to pack glass",
        "Straw is back. We dropped 70 parcels from a height of one metre so that you need not.\n",
    ),
    Story(
        "Le Monde du Thé <lettre@monde-the.example>",
        "Les récoltes d'automne sont arrivées 🍂",
        "Au sommaire : trois oolongs de haute montagne, et une recette de sablés au thé noir.\n",
    ),
    Story(
        "City Events <events@city.example>",
        "Christmas market: stands still free",
        "There are four stands left at the river side. Write to us until Friday.\n",
    ),
    Story(
        "Tea Weekly <digest@teaweekly.example>",
        "First flush 2026: what the growers expect",
        "A dry winter in Darjeeling, a mild one in Assam. Prices may rise by a tenth.\n",
    ),
    Story(
        "Photo School <hello@photoschool.example>",
        "Steam, light and a black curtain ☕📷",
        "How to photograph a hot cup so that it looks hot. One lamp is enough.\n",
    ),
    Story(
        "Handel heute <redaktion@handel-heute.example>",
        "Neue Regeln für Verpackungen ab Juli",
        "Was kleine Händler jetzt wissen müssen, in zehn Minuten erklärt.\n",
    ),
    Story(
        "Open Source Digest <digest@osd.example>",
        "A queue, a log, or both?",
        "Three teams tell how they keep work safe when a process dies, and what they would do again.\n",
    ),
    Story(
        "Small Shop Letter <letter@smallshop.example>",
        "Answer mails faster without sounding like a robot",
        "Our reader survey: what customers really want to hear in the first line.\n",
    ),
    Story(
        "お茶だより <news@ochadayori.example>",
        "冬のほうじ茶特集",
        "寒い夜にぴったりのほうじ茶を五種類ご紹介します。簡単なラテの作り方も。\n",
    ),
    Story(
        "Tea Weekly <digest@teaweekly.example>",
        "The great biscuit question, settled",
        "1,204 votes, one clear winner, and a recipe from the baker next door.\n",
    ),
    Story(
        "Garden Post <post@garden.example>",
        "Mint in winter 🌿",
        "A pot, a window, and patience. Peppermint keeps well above eight degrees.\n",
    ),
)
