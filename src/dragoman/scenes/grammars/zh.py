"""Chinese captions (simplified characters), with measure words."""

from __future__ import annotations

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars._frames import Frame, draw_frame, draw_what, finish
from dragoman.scenes.scene import Event

NOUNS = {
    "apple": ("苹果 个",),
    "ball": ("球 个", "皮球 个"),
    "bird": ("鸟 只",),
    "boat": ("船 艘", "船 条"),
    "book": ("书 本",),
    "box": ("箱子 个", "盒子 个"),
    "car": ("汽车 辆", "车 辆"),
    "chair": ("椅子 把",),
    "cup": ("杯子 个", "杯子 只"),
    "fish": ("鱼 条",),
    "flower": ("花 朵",),
    "hat": ("帽子 顶",),
    "house": ("房子 座", "房子 栋"),
    "star": ("星星 颗",),
    "tree": ("树 棵",),
    "umbrella": ("雨伞 把", "伞 把"),
}
"""Noun and measure word."""

COLOURS = {
    "black": ("黑色", "黑"),
    "blue": ("蓝色", "蓝"),
    "brown": ("棕色", "褐色"),
    "green": ("绿色", "绿"),
    "orange": ("橙色", "橘色"),
    "pink": ("粉色", "粉红色"),
    "purple": ("紫色", "紫"),
    "red": ("红色", "红"),
    "white": ("白色", "白"),
    "yellow": ("黄色", "黄"),
}
"""A colour of one character stands directly before the noun."""
SIZES = {"small": "小", "big": "大"}
NUMERALS = {1: "一", 2: "两", 3: "三"}

GROUNDS = {
    "beach": ("沙滩上", "海滩上"),
    "meadow": ("草地上", "草坪上"),
    "room": ("房间里", "屋子里"),
    "snow": ("雪地里", "雪地上"),
    "street": ("街上", "马路上"),
}
PLACES = {
    "left": ("左边", "左侧"),
    "right": ("右边", "右侧"),
    "top": ("上方", "上面"),
    "bottom": ("下方", "下面"),
    "centre": ("中间", "中央"),
}
RELATIONS = {
    "left": ("左边", "左侧"),
    "right": ("右边", "右侧"),
    "above": ("上方", "上面"),
    "below": ("下方", "下面"),
}
FRAMES = (
    Frame("{where}有{what}。"),
    Frame("{where}有{what}"),
    Frame("{what}在{where}"),
    Frame("{where}可以看到{what}。"),
    Frame("{what}"),
    Frame("图中有{what}。"),
    Frame("一张{what}的照片"),
)
EVENTS: dict[Event, tuple[str, ...]] = {
    "appear": ("出现了", "突然出现"),
    "disappear": ("消失了", "突然不见了"),
    "left": ("向左移动", "从右往左移动"),
    "right": ("向右移动", "从左往右移动"),
    "up": ("向上移动", "上升"),
    "down": ("向下移动", "下降"),
    "clockwise": ("顺时针转动", "顺时针旋转"),
    "anticlockwise": ("逆时针转动", "逆时针旋转"),
    "meet": ("相遇了", "互相靠近"),
    "part": ("分开了", "互相远离"),
}
"""Verbs do not agree with anything."""
EVENT_FRAMES = (
    Frame("{what}在{where}{verb}。"),
    Frame("{where}，{what}{verb}。"),
    Frame("{what}{verb}。"),
    Frame("视频里，{what}{verb}。"),
)


def caption(plan: CaptionPlan, draws: Draws) -> str:
    """One Chinese caption that says the facts of `plan`."""
    ground = draws.pick(GROUNDS[plan.ground]) if plan.ground else ""
    if plan.relation and plan.second:
        topic = f"{ground}，" if ground else ""
        where = f"{_phrase(plan.second, '', draws)}的{draws.pick(RELATIONS[plan.relation])}"
    else:
        spot = draws.pick(PLACES[plan.place]) if plan.place else ""
        topic, where = "", "的".join(part for part in (ground, spot) if part)
    frame = draw_frame(EVENT_FRAMES if plan.event else FRAMES, where, draws)
    what = draw_what(plan, frame.case, draws, _phrase, "和")
    verb = draws.pick(EVENTS[plan.event]) if plan.event else ""
    return finish(topic + frame.one.format(what=what, where=where, verb=verb))


def _phrase(mention: Mention, case: str, draws: Draws) -> str:
    noun, measure = draws.pick(NOUNS[mention.kind]).split()
    number = NUMERALS[mention.count] if mention.exact else draws.pick(("几", "一些"))
    if number == "一些":  # takes the place of the measure word too
        measure = ""
    colour = draws.pick(COLOURS[mention.colour]) if mention.colour else ""
    size = SIZES[mention.size] if mention.size else ""
    said = size + colour if len(colour) < 2 else f"{colour}的{size}"
    return number + measure + said + noun
