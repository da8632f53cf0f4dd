"""Arabic captions: gender, dual, and plurals of things, which agree like one feminine thing."""

from __future__ import annotations

from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars._frames import Frame, draw_frame, draw_what, finish, in_either_order
from dragoman.scenes.plan import Mention, Plan

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


def caption(plan: Plan, draws: Draws) -> str:
    """One Arabic caption that says the facts of `plan`."""
    where = _where(plan, draws)
    frame = draw_frame(FRAMES, where, draws)
    what = draw_what(plan, frame.case, draws, _phrase, " و")
    return finish(frame.one.format(what=what, where=where))


def _where(plan: Plan, draws: Draws) -> str:
    spot = draws.pick(PLACES[plan.place]) if plan.place else ""
    if plan.relation and plan.second:
        spot = f"{draws.pick(RELATIONS[plan.relation])} {_phrase(plan.second, 'gen', draws)}"
    ground = draws.pick(GROUNDS[plan.ground]) if plan.ground else ""
    return in_either_order((spot, ground), draws)


def _phrase(mention: Mention, case: str, draws: Draws) -> str:
    singular, plural, gender = draws.pick(NOUNS[mention.kind]).split()
    said = [draws.pick(COLOURS[mention.colour])] if mention.colour else []
    if mention.size:
        said.insert(draws.below(2), draws.pick(SIZES[mention.size]))
    # A plural of things counts as feminine singular; one and two keep their gender.
    feminine = gender == "f" or mention.count > 2
    adjectives = [pair.split()[feminine] for pair in said]
    if mention.count == 1:
        return " ".join([singular, *adjectives])
    if mention.count == 2:
        return " ".join(_dual(word, case) for word in [singular, *adjectives])
    number = THREE[gender] if mention.exact else draws.pick(("عدة", ""))
    return " ".join([number, plural, *adjectives]).strip()


def _dual(word: str, case: str) -> str:
    if word.endswith("ة"):
        return word[:-1] + "ت" + DUAL[case]
    if word.endswith("اء"):
        return word[:-1] + "و" + DUAL[case]
    return word + DUAL[case]
