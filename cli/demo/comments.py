"""What customers write, by theme, by how happy they are, and by language."""

import random
from enum import StrEnum


class Theme(StrEnum):
    DELIVERY = "delivery"
    QUALITY = "quality"
    SIZING = "sizing"
    PRICE = "price"
    WEBSITE = "website"
    SERVICE = "service"
    RETURNS = "returns"
    COURIER_TROUBLE = "courier_trouble"


class Mood(StrEnum):
    HAPPY = "happy"
    NEUTRAL = "neutral"
    UNHAPPY = "unhappy"


Bank = dict[Theme, dict[Mood, tuple[str, ...]]]

_EN: Bank = {
    Theme.DELIVERY: {
        Mood.HAPPY: (
            "Ordered on Monday evening, on my doorstep Wednesday morning.",
            "Fast delivery, and the driver was very friendly.",
            "Arrived a day early and well packed.",
            "I could follow the parcel the whole way. Exactly how it should be.",
        ),
        Mood.NEUTRAL: (
            "Delivery was fine, a day later than promised.",
            "Came in one piece, but I would have liked an evening slot.",
            "OK. The tracking link only worked on the last day.",
        ),
        Mood.UNHAPPY: (
            "Arrived two weeks late and nobody told me why.",
            "The parcel was left in the rain in front of the door.",
            "Tracking said delivered. It was not. I had to chase it myself.",
            "The box was torn open and one item was missing.",
        ),
    },
    Theme.QUALITY: {
        Mood.HAPPY: (
            "Beautiful leather, feels far more expensive than it was.",
            "Third pair I own and the first one still looks new.",
            "Great quality, the stitching is perfect.",
        ),
        Mood.NEUTRAL: (
            "Nice bag, the zip is a bit stiff.",
            "The colour is a little darker than in the photos.",
            "Decent for the money, not more than that.",
        ),
        Mood.UNHAPPY: (
            "The sole came off after three weeks.",
            "The zip broke the second time I used it.",
            "Looks nothing like the pictures, thin and cheap.",
        ),
    },
    Theme.SIZING: {
        Mood.HAPPY: ("Fits perfectly, the size guide was spot on.", "True to size and so comfortable."),
        Mood.NEUTRAL: ("Runs half a size small, otherwise fine.", "Good coat, sleeves a bit long."),
        Mood.UNHAPPY: (
            "The size guide is wrong. I have ordered twice now and neither fits.",
            "Two sizes too small although I measured twice.",
        ),
    },
    Theme.PRICE: {
        Mood.HAPPY: (
            "Very fair price, I saw the same coat elsewhere for much more.",
            "Good value, will be back.",
        ),
        Mood.NEUTRAL: ("A bit pricey, but it was on sale.", "Shipping costs only appear at the very end."),
        Mood.UNHAPPY: (
            "Two days after I bought it the price dropped by thirty percent.",
            "Too expensive for what you get.",
        ),
    },
    Theme.WEBSITE: {
        Mood.HAPPY: (
            "Ordering took two minutes, very clear site.",
            "Love the filters, found what I wanted at once.",
        ),
        Mood.NEUTRAL: ("The site is OK, a little slow on my phone.", "Had to type my address twice."),
        Mood.UNHAPPY: (
            "The checkout crashed twice and then I was charged twice.",
            "The discount code did not work and there was no explanation.",
        ),
    },
    Theme.SERVICE: {
        Mood.HAPPY: (
            "The lady in the chat solved it in five minutes. Thank you!",
            "Called once, a real person answered, problem gone.",
            "They sent a replacement the same day without any discussion.",
        ),
        Mood.NEUTRAL: (
            "Helpful in the end, but I waited a day for the first answer.",
            "Friendly, though I had to explain everything twice.",
        ),
        Mood.UNHAPPY: (
            "Five e-mails, five different people, no solution.",
            "I waited forty minutes on the phone and then the line dropped.",
            "Nobody has answered me for a week.",
        ),
    },
    Theme.RETURNS: {
        Mood.HAPPY: (
            "Return was free and the money was back in two days.",
            "Printed the label, done. So easy.",
        ),
        Mood.NEUTRAL: ("The return went fine, the refund took ten days.", "I had to print the label myself."),
        Mood.UNHAPPY: (
            "Sent it back three weeks ago and still no refund.",
            "I had to pay for the return although the item was faulty.",
        ),
    },
    Theme.COURIER_TROUBLE: {
        Mood.HAPPY: ("A little late this time, but support kept me informed.",),
        Mood.NEUTRAL: ("Late because of the courier, I heard. It did arrive in the end.",),
        Mood.UNHAPPY: (
            "The courier says nobody was at home. I was at home all day, twice.",
            "My parcel has been in the same depot for six days.",
            "The courier lost it, and I am told to wait another week.",
        ),
    },
}

_NL: Bank = {
    Theme.DELIVERY: {
        Mood.HAPPY: ("Vandaag besteld, morgen in huis. Top!", "Snel geleverd en netjes verpakt."),
        Mood.NEUTRAL: ("Levering duurde een dag langer dan beloofd.",),
        Mood.UNHAPPY: (
            "Twee weken te laat en niemand die iets liet weten.",
            "Pakket lag in de regen voor de deur.",
        ),
    },
    Theme.QUALITY: {
        Mood.HAPPY: ("Mooie kwaliteit, zit heerlijk.",),
        Mood.NEUTRAL: ("Prima tas, de rits gaat wat stroef.",),
        Mood.UNHAPPY: ("Na drie weken liet de zool al los.",),
    },
    Theme.SERVICE: {
        Mood.HAPPY: ("Heel vriendelijk geholpen via de chat.",),
        Mood.NEUTRAL: ("Goed geholpen, maar ik moest wel lang wachten.",),
        Mood.UNHAPPY: ("Al een week geen antwoord op mijn mail.",),
    },
    Theme.RETURNS: {
        Mood.HAPPY: ("Retour ging vanzelf, geld snel terug.",),
        Mood.NEUTRAL: ("Retour was prima, terugbetaling duurde lang.",),
        Mood.UNHAPPY: ("Drie weken geleden teruggestuurd en nog steeds geen geld terug.",),
    },
}

_DE: Bank = {
    Theme.DELIVERY: {
        Mood.HAPPY: ("Schnelle Lieferung, alles bestens.", "Einen Tag früher da als angekündigt."),
        Mood.NEUTRAL: ("Lieferung in Ordnung, leider einen Tag später als versprochen.",),
        Mood.UNHAPPY: ("Zwei Wochen zu spät und keine Nachricht.", "Das Paket lag offen vor der Tür."),
    },
    Theme.QUALITY: {
        Mood.HAPPY: ("Tolle Qualität, sehr bequem.",),
        Mood.NEUTRAL: ("Schöner Mantel, die Farbe ist etwas dunkler als auf dem Bild.",),
        Mood.UNHAPPY: ("Nach drei Wochen ist die Sohle ab.",),
    },
    Theme.SERVICE: {
        Mood.HAPPY: ("Sehr freundlicher Kundendienst, schnell geholfen.",),
        Mood.NEUTRAL: ("Freundlich, aber ich musste alles zweimal erklären.",),
        Mood.UNHAPPY: ("Seit einer Woche keine Antwort auf meine E-Mails.",),
    },
    Theme.COURIER_TROUBLE: {
        Mood.HAPPY: ("Etwas spät, aber der Kundendienst hat sich gekümmert.",),
        Mood.NEUTRAL: ("Der Paketdienst war wieder zu spät.",),
        Mood.UNHAPPY: (
            "Der Paketdienst behauptet, niemand sei zu Hause gewesen. Ich war den ganzen Tag da.",
            "Mein Paket liegt seit sechs Tagen im selben Depot.",
            "Paket verloren gegangen, und ich soll noch eine Woche warten.",
        ),
    },
}

_OTHER_LANGUAGES = {"nl": _NL, "de": _DE}


def comment(rng: random.Random, theme: Theme, mood: Mood, *, language: str) -> str:
    """A sentence that fits; in English where the bank has none in the language."""
    bank = _OTHER_LANGUAGES.get(language, _EN)
    return rng.choice(bank.get(theme, _EN[theme])[mood])
