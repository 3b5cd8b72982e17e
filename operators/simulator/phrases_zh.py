# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with
"""Chinese."""

from .phrases import Phrases, lines

_THINGS = lines("""
    耳机
    台灯
    跑鞋
    咖啡机
    雨衣
    办公椅
    手机壳
    背包
    水壶
    音箱
    平板电脑
    冬靴
""")
_GADGETS = lines("""
    耳机
    台灯
    咖啡机
    音箱
    平板电脑
    手表
    打印机
""")
_DAYS = lines("""
    周一
    周二
    周三
    周四
    周五
    周六
    周日
""")
_ORDERS = lines("""
    我的订单{order}还没有到
    {order}的物流从{day}起就没有更新
    我想修改订单{order}的地址
    {thing}被送到了别人家门口
    我买了{n}件，少收到了几件
    收到的{thing}颜色不对
    订单{order}显示已签收，但是我没有收到
    想问一下{thing}什么时候发货
""")
_RETURNS = lines("""
    我想退掉{thing}
    {order}的退货单打不开
    {thing}{day}就退回去了，退款还没有到
    {thing}尺寸不合适，想换一个
    上门取件约的是{day}
    {order}的退款还没到账
    {thing}上有一道划痕，想退货
    退货申请已经提交{n}天了
""")
_BILLING = lines("""
    订单{order}被扣了两次款
    {day}的账单上有{n}件商品
    买{thing}的优惠券没有抵扣
    订单{order}需要开发票
    付{thing}的钱时支付没有通过
    账单上多了一笔{day}的费用
    我想更换{order}的付款方式
""")
_TECHNICAL = lines("""
    {gadget}打不开机
    从{day}开始我登录不了账号
    打开订单页面时应用会退出
    {gadget}用{n}分钟就断开连接
    {day}的更新停在百分之{n}
    重置密码的邮件没有收到
    {gadget}的页面显示错误
""")
_FIRST_NEGATIVE = lines("""
    太差了！{issue}！
    我非常生气，{issue}。
    {issue}，没有人管吗？真让人失望。
    {issue}，已经第三次了，受够了。
    糟糕的体验，{issue}。
    {issue}，你们就是这样对待顾客的吗？
    真是气死人了，{issue}
    最差的店，{issue}！！
    {issue}，一直没有人理我，太过分了。
    又是这样，{issue}，烦死了。
    你们说话不算数，{issue}。
    {issue}，简直是骗人。
    我很不满意，{issue}。
    {issue}，太让人恼火了
    后悔在你们这里买东西，{issue}。
    {issue}，什么破服务。
    说好的没问题呢？{issue}。
    {issue}，我要投诉！
""")
_FIRST_NEUTRAL = lines("""
    你好，{issue}。
    您好，请问{issue}，怎么办？
    {issue}，麻烦查一下。
    在吗？{issue}。
    想咨询一下，{issue}。
    {issue}，订单号是{order}。
    早上好，{issue}，需要我做什么？
    请问这里可以处理吗？{issue}。
    关于{thing}，{issue}。
    {issue}，下一步怎么操作？
    {issue}，一般要多久？
    我是第一次在这里买，{issue}。
    {day}问过一次，{issue}。
    {issue}，需要提供什么信息？
    你好，情况是这样的，{issue}。
    请帮忙看一下，{issue}。
    {issue}，请回复。
    晚上好，{issue}。
""")
_FIRST_POSITIVE = lines("""
    很喜欢你们的店！有个小问题，{issue}。
    你们上次服务特别好，这次{issue}，不着急。
    {thing}非常好用，谢谢！就是{issue}。
    发货真快，赞！顺便问一下，{issue}。
    你好呀，一直很满意，{issue}，相信你们能解决。
    家里人都很喜欢{thing}，{issue}。
    老顾客了，一直很开心，{issue}。
    已经推荐给{n}个朋友了！{issue}。
    客服总是很热情，{issue}。
    祝你们生意兴隆！{issue}。
    谢谢你们一直这么贴心，{issue}。
    质量真不错，我很满意，只是{issue}。
    最喜欢在你们家买东西，{issue}。
    提前感谢！{issue}。
    有你们在真好，{issue}。
    {thing}比想象的还要漂亮，谢谢！只是{issue}。
    每次购物都很愉快，{issue}。
    店里的东西又好又便宜，喜欢！{issue}。
    五星好评的老顾客，{issue}。
""")
_ANSWER_NEGATIVE = lines("""
    我已经说过两遍了。
    这根本没有用。
    怎么这么慢？我没有耐心了。
    一直问一样的问题，太烦了。
    不对，又错了。
    白白等了{n}天！
    我花钱不是为了这个。
    你到底有没有看我写的？
    别再找借口了。
    还是坏的，我早就说了。
    这个回答太可笑了。
    太让人失望了，服务真差。
    你的同事说的完全相反，真乱。
    我要退钱，受够了。
    越来越糟。
    别再发模板了，很讨厌。
    我不相信你们了。
    {thing}是垃圾，客服也是。
    这不公平。
    浪费我的时间。
    态度这么差，气人。
    从来没有遇到过这么麻烦的店。
""")
_ANSWER_NEUTRAL = lines("""
    订单号是{order}。
    {day}买的。
    对，就是这个。
    还没有试过。
    是{thing}。
    好的，稍等。
    页面和之前一样。
    地址和发票上的一样。
    我用的是手机应用。
    盒子里有{n}个。
    我可以发图片。
    显示处理中。
    账号是同一个名字。
    还需要别的吗？
    从{day}开始的。
    用银行卡付的。
    要填哪张表？
    我看一下，是{order}。
    {day}我在家。
    小号，灰色的。
    大概需要多长时间？
    步骤都做了，现在显示数字{n}。
""")
_ANSWER_POSITIVE = lines("""
    太好了，真快！
    很好，单号是{order}，谢谢你帮忙看！
    听起来不错。
    这个办法好，我喜欢。
    谢谢，你解释得很清楚。
    太棒了，我马上试试。
    好的，那太好了，麻烦你了，谢谢。
    非常感谢你的帮助。
    知道了，多谢多谢。
    你真好，是{thing}。
    现在已经好多了，开心。
    放心了，谢谢你。
    没关系，我很乐意等。
    真不错，发过去了，谢谢！
    很公道，谢谢。
    {day}正合适，太好了。
    听到这个很高兴！
    谢谢你这么耐心。
    没想到回复这么快，点赞。
    服务真好，单号：{order}。
""")
_NUDGE_NEGATIVE = lines("""
    有人吗？？
    还要等多久，太过分了。
    等了这么久，气死了！
    为什么没有人回答我？
    你们是不是不想理我？
    太慢了，烦。
    没有人回复，真差劲。
    再没人回我就走了。
""")
_NUDGE_NEUTRAL = lines("""
    你好？
    还在吗？
    有消息了吗？
    我在等。
    有人在看吗？
    再问一下。
    我要不要晚点再来？
    ？
""")
_END_NEGATIVE = lines("""
    什么都没有解决。
    以后不会再来了，再见。
    原来你们帮不了我，太失望了。
    最差的客服。
    全部取消，我受够了。
    算了，没希望。
    我会给差评的，气人。
    没解决，不满意。
    完全是浪费时间。
    你们失去了一个顾客。
    差，真差。
    我还是很生气。
    再也不买了。
    我要向你们经理投诉，太过分了。
    还是坏的，还是生气。
    垃圾服务。
""")
_END_NEUTRAL = lines("""
    好的。
    行，我等邮件。
    知道了。
    好，没有别的了。
    明白，再见。
    那我{day}再看看。
    没有其他问题了。
    了解。
    我晚点看。
    记下来了，{order}。
    先这样。
    嗯，再见。
    好，看看能不能收到。
""")
_END_POSITIVE = lines("""
    太感谢了，帮了大忙！
    谢谢，服务真好！
    现在完全好了，谢谢你。
    很满意，下次还来。
    你们最棒了！
    非常感谢，又快又热情。
    问题解决了，祝你今天愉快！
    真的很开心，谢谢。
    多谢，你人真好。
    好用了，太棒了，谢谢！
    五星好评，必须点赞。
    真是好消息，谢谢！
    完美，我爱这家店。
    谢谢你的耐心，辛苦了。
    终于解决了，特别感谢。
    没有一点不满意，做得好！
    聊得很愉快，谢谢！
    几分钟就解决了，厉害，谢谢！
    真贴心，感谢。
    谢谢，我会推荐给朋友的。
    太赞了。
    非常满意，谢谢！
""")
_POLITE = {
    "greet": lines("""
        您好，感谢您的耐心等待，我很乐意为您查看。
        您好，很抱歉给您带来麻烦，请问您的订单号是多少？
        感谢您的留言，我马上为您查询。
        您好，非常理解您的心情，请问您那边显示什么？
    """),
    "answer": lines("""
        谢谢您。已经查到，{thing}在路上了，预计{day}送到。
        非常抱歉，您希望换货还是退款呢？
        麻烦您重新启动一次，再告诉我看到了什么，好吗？
        已经为您联系仓库，一有消息马上告诉您。
        感谢您提供的信息，已经在您的账号里更正了。
        明白了，{order}的退款已经发起，最多{n}天到账。
    """),
    "close": lines("""
        不客气，祝您生活愉快！
        很高兴能帮到您，欢迎随时联系。
        感谢您的耐心，再见！
    """),
}
_CURT = {
    "greet": lines("""
        订单号？
        什么问题。
        先给订单号。
        说。
    """),
    "answer": lines("""
        规定就是这样。
        自己看条款第{n}条。
        重启。
        等{n}天。
        不行。
        说过了，看邮件。
    """),
    "close": lines("""
        好了。
        关了。
        没别的就结束。
    """),
}
_BOT = {
    "greet": lines("""
        您好，我是智能助手，正在为您查找答案。
        感谢您的留言，请问是哪个订单？
    """),
    "answer": lines("""
        为您找到文章：如何查询物流。
        您可以在我的订单里查看{order}的状态。
        这个回答有帮助吗？请回复是或否。
    """),
    "handoff": lines("""
        正在为您转接人工客服。
        请稍等，马上由同事为您服务。
    """),
    "close": lines("""
        很高兴解决了您的问题。
        谢谢，本次会话结束。
    """),
}

CHINESE = Phrases(
    things=_THINGS,
    gadgets=_GADGETS,
    days=_DAYS,
    issues={
        "orders": _ORDERS,
        "returns": _RETURNS,
        "billing": _BILLING,
        "technical": _TECHNICAL,
    },
    firsts={
        "negative": _FIRST_NEGATIVE,
        "neutral": _FIRST_NEUTRAL,
        "positive": _FIRST_POSITIVE,
    },
    answers={
        "negative": _ANSWER_NEGATIVE,
        "neutral": _ANSWER_NEUTRAL,
        "positive": _ANSWER_POSITIVE,
    },
    nudges={
        "negative": _NUDGE_NEGATIVE,
        "neutral": _NUDGE_NEUTRAL,
        "positive": _NUDGE_NEUTRAL,
    },
    ends={
        "negative": _END_NEGATIVE,
        "neutral": _END_NEUTRAL,
        "positive": _END_POSITIVE,
    },
    agent={"polite": _POLITE, "curt": _CURT},
    bot=_BOT,
)
