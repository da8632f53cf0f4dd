"""Arabic captions: gender, dual, and plurals of things, which agree like one feminine thing."""

from __future__ import annotations

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars._frames import Frame, Where, draw_frame, draw_what, finish
from dragoman.scenes.scene import Event

NOUNS = {
    "apple": ("تفاحة تفاحات f",),
    "ball": ("كرة كرات f",),
    "bird": ("طائر طيور m", "عصفور عصافير m"),
    "boat": ("قارب قوارب m", "مركب مراكب m"),
    "book": ("كتاب كتب m",),
    "box": ("صندوق صناديق m", "علبة علب f"),
    "car": ("سيارة سيارات f",),
    "chair": ("كرسي كراسي m",),
    "cup": ("كوب أكواب m", "فنجان فناجين m"),
    "fish": ("سمكة أسماك f", "سمكة سمكات f"),
    "flower": ("زهرة زهور f", "وردة ورود f"),
    "hat": ("قبعة قبعات f",),
    "house": ("بيت بيوت m", "منزل منازل m"),
    "star": ("نجمة نجمات f", "نجمة نجوم f"),
    "tree": ("شجرة أشجار f",),
    "umbrella": ("مظلة مظلات f",),
}
"""Singular, plural, gender of the singular. Duals follow from the singular."""

COLOURS = {
    "black": ("أسود سوداء",),
    "blue": ("أزرق زرقاء",),
    "brown": ("بني بنية",),
    "green": ("أخضر خضراء",),
    "orange": ("برتقالي برتقالية",),
    "pink": ("وردي وردية", "زهري زهرية"),
    "purple": ("بنفسجي بنفسجية", "أرجواني أرجوانية"),
    "red": ("أحمر حمراء",),
    "white": ("أبيض بيضاء",),
    "yellow": ("أصفر صفراء",),
}
SIZES = {"small": ("صغير صغيرة",), "big": ("كبير كبيرة",)}
THREE = {"m": "ثلاثة", "f": "ثلاث"}
"""The numeral takes the form opposite to the gender of what is counted: with ة before a masculine."""
DUAL = {"nom": "ان", "gen": "ين"}

GROUNDS = {
    "beach": ("على الشاطئ", "على الرمل"),
    "meadow": ("على العشب", "في المرج", "في حقل أخضر"),
    "room": ("في غرفة", "داخل الغرفة"),
    "snow": ("في الثلج", "على الثلج"),
    "street": ("في الشارع", "على الطريق"),
}
PLACES = {
    "left": ("على اليسار", "في الجهة اليسرى"),
    "right": ("على اليمين", "في الجهة اليمنى"),
    "top": ("في الأعلى", "في الجزء العلوي"),
    "bottom": ("في الأسفل", "في الجزء السفلي"),
    "centre": ("في الوسط", "في المنتصف"),
}
RELATIONS = {
    "left": ("على يسار", "إلى يسار"),
    "right": ("على يمين", "إلى يمين"),
    "above": ("فوق",),
    "below": ("تحت",),
}
"""All of these are followed by the genitive."""
WHERE = Where(GROUNDS, PLACES, RELATIONS, "gen")
FRAMES = (
    Frame("{what} {where}"),
    Frame("{what} {where}"),
    Frame("هناك {what} {where}"),
    Frame("{where} {what}"),
    Frame("صورة ل{what} {where}", case="gen"),
    Frame("{what}"),
    Frame("هناك {what}"),
    Frame("صورة ل{what}", case="gen"),
)
EVENTS: dict[Event, tuple[str, ...]] = {
    "appear": ("يظهر تظهر يظهران تظهران|", "يظهر تظهر يظهران تظهران|فجأة"),
    "disappear": ("يختفي تختفي يختفيان تختفيان|", "يختفي تختفي يختفيان تختفيان|فجأة"),
    "left": ("يتحرك تتحرك يتحركان تتحركان|نحو اليسار", "ينتقل تنتقل ينتقلان تنتقلان|من اليمين إلى اليسار"),
    "right": ("يتحرك تتحرك يتحركان تتحركان|نحو اليمين", "ينتقل تنتقل ينتقلان تنتقلان|من اليسار إلى اليمين"),
    "up": ("يتحرك تتحرك يتحركان تتحركان|نحو الأعلى", "يصعد تصعد يصعدان تصعدان|إلى الأعلى"),
    "down": ("يتحرك تتحرك يتحركان تتحركان|نحو الأسفل", "ينزل تنزل ينزلان تنزلان|إلى الأسفل"),
    "clockwise": (
        "يدور تدور يدوران تدوران|مع عقارب الساعة",
        "يدور تدور يدوران تدوران|في اتجاه عقارب الساعة",
    ),
    "anticlockwise": (
        "يدور تدور يدوران تدوران|عكس عقارب الساعة",
        "يدور تدور يدوران تدوران|عكس اتجاه عقارب الساعة",
    ),
    "meet": ("يلتقي تلتقي يلتقيان تلتقيان|", "يقترب تقترب يقتربان تقتربان|من بعضهما"),
    "part": ("يفترق تفترق يفترقان تفترقان|", "يبتعد تبتعد يبتعدان تبتعدان|عن بعضهما"),
}
"""The verb with one masculine, one feminine, two with a masculine among them, two feminine; and how."""
EVENT_FRAMES = (
    Frame("{first_verb} {what} {how} {where}"),
    Frame("{first_verb} {what} {how} {where}"),
    Frame("{what} {verb} {how} {where}"),
    Frame("{where} {first_verb} {what} {how}"),
    Frame("{first_verb} {what} {how}"),
    Frame("{what} {verb} {how}"),
)
"""A verb before its subject does not take its number, and its gender from what is named next."""


def caption(plan: CaptionPlan, draws: Draws) -> str:
    """One Arabic caption that says the facts of `plan`."""
    where = WHERE.draw(plan, draws, _phrase)
    frame = draw_frame(EVENT_FRAMES if plan.event else FRAMES, where, draws)
    feminine: list[bool] = []

    def phrase(mention: Mention, case: str, draws: Draws) -> str:
        said, is_feminine = _agreeing(mention, case, draws)
        feminine.append(is_feminine)
        return said

    what = draw_what(plan, frame.case, draws, phrase, " و")
    doing = _event(plan, feminine, draws)
    return finish(frame.one.format(what=what, where=where, **doing))


def _event(plan: CaptionPlan, feminine: list[bool], draws: Draws) -> dict[str, str]:
    if plan.event is None:
        return {}
    verb, how = draws.pick(EVENTS[plan.event]).split("|")
    forms, two = verb.split(), plan.first.count == 2 or plan.second is not None
    return {"verb": forms[2 * two + all(feminine)], "first_verb": forms[feminine[0]], "how": how}


def _phrase(mention: Mention, case: str, draws: Draws) -> str:
    return _agreeing(mention, case, draws)[0]


def _agreeing(mention: Mention, case: str, draws: Draws) -> tuple[str, bool]:
    """One mention, and whether what is said of it is feminine."""
    singular, plural, gender = draws.pick(NOUNS[mention.kind]).split()
    said = [draws.pick(COLOURS[mention.colour])] if mention.colour else []
    if mention.size:
        said.insert(draws.below(2), draws.pick(SIZES[mention.size]))
    # A plural of things counts as feminine singular; one and two keep their gender.
    feminine = gender == "f" or mention.count > 2
    adjectives = [pair.split()[feminine] for pair in said]
    if mention.count == 1:
        said = [singular, *adjectives]
    elif mention.count == 2:
        said = [_dual(word, case) for word in [singular, *adjectives]]
    else:
        said = [THREE[gender] if mention.exact else draws.pick(("عدة", "")), plural, *adjectives]
    return " ".join(said).strip(), feminine


def _dual(word: str, case: str) -> str:
    if word.endswith("ة"):
        return word[:-1] + "ت" + DUAL[case]
    if word.endswith("اء"):
        return word[:-1] + "و" + DUAL[case]
    return word + DUAL[case]
