"""Features of Chinese: single characters, pairs of neighbours, and what the lexicon says. No word segmentation.

Everything is numpy over the code points of the whole batch. The lexicon is found by hashing the windows of two to five
characters that begin like one of its words, longest first: a character belongs to one word only.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.domain.text import lexicon
from operators.domain.text.arrays import SHIFT, fold, form, mix, per_message, sums_before
from operators.domain.text.words import UNIT

_TURNED = round(lexicon.NEGATED * UNIT)
_TABLE = 0x20000  # code points looked up; those above are rare Han characters
_SALT = np.array([0x5A485A48], np.uint32)  # keeps single characters apart from other hashes
_QUESTION, _EXCLAIM = ord("?"), ord("!")
_ENDS = ("吗", "呢", "么")
_RATED = np.array([ord(unit) for unit in "星分★⭐"], np.uint32)


class ChinesePart(NamedTuple):
    """Features of some Chinese messages. `keys` are message << 18 | feature, in any order, with repeats."""

    keys: list[NDArray[np.uint32]]
    totals: NDArray[np.int64]
    questions: NDArray[np.bool_]


class _Words(NamedTuple):
    """Lexicon words of one length, by hash, sorted."""

    hashes: NDArray[np.uint32]
    valences: NDArray[np.int32]
    turns: NDArray[np.bool_]
    boosts: NDArray[np.int32]


@cache
def _speaks() -> NDArray[np.bool_]:
    """Per code point whether it counts: letters, digits and signs of feeling."""
    table = np.array([chr(code).isalnum() for code in range(_TABLE)])
    table[0x203C:0x2C00] = table[0x1F000:0x1FB00] = True
    table[[_QUESTION, _EXCLAIM]] = True
    return table


def _window(codes: NDArray[np.uint32], at: NDArray[np.int64], size: int) -> NDArray[np.uint32]:
    """The hash of the `size` characters from each of these places on."""
    hashes = mix(codes[at], _SALT)
    for step in range(1, size):
        hashes = mix(hashes, codes[at + step])
    return hashes


@cache
def _lexicon() -> tuple[dict[int, _Words], NDArray[np.bool_]]:
    """The words by length, and whether a character begins one."""
    valences = valences_zh() | lexicon.emoji()
    every = {*valences, *NEGATORS, *BOOSTERS}
    begins = np.zeros(_TABLE, np.bool_)
    begins[[ord(word[0]) for word in every]] = True
    by_length = {}
    for length in range(max(map(len, every)), 0, -1):
        words = [word for word in every if len(word) == length]
        if not words:
            continue
        hashed = [int(_window(_codes(word), np.zeros(1, np.int64), length)[0]) for word in words]
        order = np.argsort(hashed)
        by_length[length] = _Words(
            np.array(hashed, np.uint32)[order],
            np.array([round(valences.get(word, 0.0) * UNIT) for word in words], np.int32)[order],
            np.array([word in NEGATORS for word in words])[order],
            np.array(
                [round(BOOSTERS.get(word, 0.0) * UNIT) for word in words],
                np.int32,
            )[order],
        )
    return by_length, begins


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def extract(texts: Sequence[str]) -> ChinesePart:
    """The features of cleaned Chinese texts."""
    count = len(texts)
    codes = _codes("".join(texts))
    bounds = sums_before(np.fromiter(map(len, texts), np.int64, count))
    message = np.repeat(np.arange(count, dtype=np.uint32), np.diff(bounds))
    plain = _simplified(codes, message)
    speaks = (codes >= _TABLE) | _speaks()[np.minimum(codes, _TABLE - 1)]
    tops = message << SHIFT
    near = speaks[1:] & speaks[:-1] & (message[1:] == message[:-1])
    single = mix(plain, _SALT)
    keys = [(tops | fold(single))[speaks], (tops[1:] | fold(mix(single[:-1], plain[1:])))[near]]
    valence = _valences(codes, message)
    form_keys, asked = form(valence, codes == _QUESTION, codes == _EXCLAIM, bounds)
    ends = np.array([text.endswith(_ENDS) for text in texts], np.bool_)
    return ChinesePart([*keys, *form_keys], per_message(valence, bounds), asked | ends)


def _simplified(codes: NDArray[np.uint32], message: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Latin letters in lower case, every digit as 0 but that of a rating in stars or points."""
    upper = (codes >= ord("A")) & (codes <= ord("Z"))
    plain = codes + upper * np.uint32(32)
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    digit[:-1] &= ~(np.isin(codes[1:], _RATED) & (message[1:] == message[:-1]))
    plain[digit] = ord("0")
    return plain


def _valences(codes: NDArray[np.uint32], message: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The valence of the lexicon word that begins at each place, else 0."""
    size = len(codes)
    valence = np.zeros(size, np.int64)
    boost = np.zeros(size + 1, np.int64)  # at the place behind a booster
    negator = np.full(size, -1)  # at its first character the place of its last one
    for length, words, at, found in _matches(codes, message):
        valence[at] = words.valences[found]
        boost[at + length] += words.boosts[found]
        turns = at[words.turns[found]]
        negator[turns] = turns + length - 1
    if not valence.any():
        return valence
    boosted = np.where(message[1:] == message[:-1], boost[1:-1], 0)
    valence[1:] += np.sign(valence[1:]) * boosted
    last = np.maximum.accumulate(negator)
    last[1:] = last[:-1]  # of the characters before
    last[0] = -1
    scope = (last >= 0) & (np.arange(size) - last <= REACH) & (message[last] == message)
    return np.where(scope, valence * _TURNED // UNIT, valence)


def _matches(
    codes: NDArray[np.uint32], message: NDArray[np.uint32]
) -> Iterator[tuple[int, _Words, NDArray[np.int64], NDArray[np.int64]]]:
    """Words of the lexicon, longest first: length, words of that length, where they begin, which ones they are."""
    by_length, begins = _lexicon()
    taken = np.zeros(len(codes), np.bool_)
    start = np.flatnonzero(begins[np.minimum(codes, _TABLE - 1)])
    for length, words in by_length.items():
        at = start[start <= len(codes) - length]
        hashes = _window(codes, at, length)
        found = np.minimum(np.searchsorted(words.hashes, hashes), len(words.hashes) - 1)
        hit = (words.hashes[found] == hashes) & (message[at] == message[at + length - 1])
        at, found = at[hit], found[hit]
        if not len(at):
            continue
        free = _free(at, length, taken)
        at, found = at[free], found[free]
        for step in range(length):
            taken[at + step] = True
        yield length, words, at, found


def _free(at: NDArray[np.int64], length: int, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the words at these places touch no longer word, and no earlier one of the same length."""
    free: NDArray[np.bool_] = ~taken[at[:, None] + np.arange(length)].any(axis=1)
    if (np.diff(at) < length).any():  # rare: words of one length overlap, the first that stands wins
        end = -1
        for number, place in enumerate(at.tolist()):
            if free[number]:
                free[number] = place >= end
                end = max(end, place + length) if free[number] else end
    return free


_WORDS = {
    3.0: """非常好 太好了 太棒了 完美 棒极了 超赞 超级好 极好 最好 最棒 一级棒 好极了 非常满意 非常喜欢 惊喜
        无可挑剔 强烈推荐 五星 五星好评 绝了 爱死了 太赞了 很棒 太好吃了 超好吃 非常好吃 物超所值 宾至如归""",
    2.3: """满意 喜欢 很好 推荐 好评 赞 点赞 优秀 美味 好吃 棒 开心 高兴 感谢 感动 热情 周到 贴心 细心 一流 超值
        值得 很快 很不错 给力 幸福 愉快 舒适 优质 漂亮 完好 靠谱 信赖 精致 豪华 温馨 鲜美 香甜 可口 爽口 好喝
        很香 真好 神速 良心 厉害 爱吃 地道 正宗 表扬 赞美 称赞 满分""",
    1.6: """不错 好用 方便 快捷 便宜 实惠 划算 干净 整洁 卫生 新鲜 舒服 安静 耐心 礼貌 友好 友善 亲切 准时 及时 迅速
        快速 专业 负责 认真 实用 合适 合理 齐全 正品 美观 大方 好看 宽敞 明亮 可爱 新颖 稳定 流畅 顺利 顺畅 放心
        省心 安全 香 谢谢 多谢 感恩 不贵 量足 足量 分量足 量大 味道好 态度好 服务好 质量好 速度快 送货快 发货快
        性价比高 没问题 没毛病 有礼貌 丰富 清淡 爽 入味 好闻 热乎 酥脆 嫩 用心 诚信 诚实 解决了 很满 还会再来
        再来 回头客 下次还来 再次光顾 支持 顶 良好 优雅 清爽 环保 齐备 便利 省事 省钱 大气 高档 高端 讲究 提前
        免费升级""",
    0.8: """还行 还可以 还好 可以 不差 不坏 能吃 尚可 好 快 热 软 新 值 足 优惠 喜 笑 哈哈 呵护 加油 耐用 结实 适中""",
    0.0: """快递 快件 快餐 快到 尽快 好像 好几 好多 多少 少许 至少 不少 最少 热线 热水 软件 新的 重新 冷静 冷饮
        冷气 冷藏 油条 酱油 贵店 贵公司 贵司 贵姓 淡水 硬件 卡片 银行卡 信用卡 会员卡 房卡 刷卡 假期 假日
        放假 请假 暑假 坑位 赞助 支持吗 笑话 安全带 没关系 不要紧 不在乎 别人 区别 无论 无线 不过 不仅 不但
        不管 不同 差不多 可以吗 不可以 好吗 行不行 好不好""",
    -0.8: """一般 一般般 凑合 普通 有点 小贵 偏贵 太少 太小 不足 可惜 遗憾 希望改进 有待提高 马马虎虎 将就 勉强 慢 凉
        冷 硬 咸 淡 油 贵 少 小气 旧 吵 暗 窄 偏远 呵呵 无语""",
    -1.6: """不好 差 很慢 太慢 难吃 不行 不满 不满意 失望 糟 糟糕 脏 臭 破 坏 坏了 错 错了 慢死 太贵 太咸 太油 太辣
        太硬 太甜 太淡 凉了 冷了 冰凉 冷冰冰 没味道 变味 异味 霉味 噪音 吵闹 嘈杂 陈旧 老旧 破旧 潮湿 简陋 狭小
        拥挤 不方便 不干净 不卫生 不新鲜 不好吃 不好喝 不舒服 不值 不推荐 不喜欢 不耐烦 不合理 不专业 不负责
        不准时 不热情 不理 没人管 没人理 没送 没收到 少送 漏送 送错 发错 洒了 漏了 撒了 断货 缺货 超时 晚点 迟到
        延误 拖延 耽误 等了 麻烦 问题 故障 毛病 缺陷 瑕疵 破损 损坏 掉色 退货 退款 取消 投诉 差评 敷衍 推脱 推卸
        冷漠 冷淡 傲慢 生硬 态度差 服务差 质量差 味道差 速度慢 送餐慢 后悔 郁闷 难受 难闻 难喝 难看 生气 火大
        着急 不如 变质 夹生 没熟 油腻 腻 拉肚子 头发 虫子 苍蝇 蟑螂 假 缩水 忽悠 误导 乱收费 涨价 贵死 坑 亏
        漏水 堵 卡 死机 黑屏 闪退 不退 不给 不会再 再也不""",
    -2.6: """太差 很差 非常差 极差 最差 差劲 太差劲 垃圾 骗 骗子 骗人 欺骗 欺诈 诈骗 坑人 坑爹 黑店 恶心 恶劣 气愤
        愤怒 气死 可恶 可恨 讨厌 烦 烦死 太烂 烂 烂透 假货 假冒 伪劣 食物中毒 中毒 馊 馊了 发霉 发臭 臭死 难吃死
        难吃极了 太难吃 非常难吃 很难吃 很失望 太失望 非常失望 失望透顶 极其失望 非常不满 忍无可忍 无耻 不要脸
        滚 倒闭 强盗 宰客 宰人 上当 受骗 吐了 想吐 糟透 糟透了 噩梦 崩溃 差评差评 太坑 太过分 过分 可怕 惨 悲剧
        无良 奸商 不可接受 千万别 千万不要 再也不会 再也不来 再也不买 永不 拒绝 极度""",
}
NEGATORS = (
    "不",
    "没",
    "没有",
    "别",
    "无",
    "未",
    "并非",
    "毫无",
    "不太",
    "不够",
    "不是",
    "不能",
    "从不",
    "没什么",
)
"""Words that turn a valence that begins at most `REACH` characters after them."""
REACH = 3
_STRONGER = "很 太 非常 十分 特别 超 超级 极 最 真 真的 相当 巨"
_WEAKER = "有点 有些 稍 稍微 略 比较 还算"
BOOSTERS = dict.fromkeys(_STRONGER.split(), 0.293) | dict.fromkeys(_WEAKER.split(), -0.293)
"""Words that strengthen or weaken the valence right behind them."""


@cache
def valences_zh() -> dict[str, float]:
    """Valences of words of one to five characters.

    >>> valences_zh()["不错"] > 0 > valences_zh()["错"]
    True
    """
    return {word: valence for valence, listed in _WORDS.items() for word in listed.split()}
