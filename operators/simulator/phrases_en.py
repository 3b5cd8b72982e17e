"""English."""

from .phrases import Phrases, lines

_THINGS = lines("""
    headphones
    desk lamp
    running shoes
    coffee maker
    rain jacket
    office chair
    phone case
    backpack
    kettle
    bluetooth speaker
    yoga mat
    winter boots
    tablet
    blender
""")
_GADGETS = lines("""
    headphones
    coffee maker
    desk lamp
    bluetooth speaker
    tablet
    smart watch
    keyboard
    printer
    phone
""")
_DAYS = lines("""
    Monday
    Tuesday
    Wednesday
    Thursday
    Friday
    Saturday
    Sunday
""")
_ORDERS = lines("""
    my order {order} has not arrived yet
    the tracking of {order} has not moved since {day}
    I would like to change the address of order {order}
    the parcel with the {thing} was left at the wrong door
    I ordered {n} items and received fewer
    the {thing} from order {order} came in the wrong colour
    order {order} shows as delivered but it is not here
    I want to know when the {thing} will ship
    delivery of my {thing} was planned for {day}
""")
_RETURNS = lines("""
    I want to send back the {thing}
    the return label for {order} does not open
    I returned the {thing} on {day} and have no refund yet
    the {thing} does not fit and I want to exchange it
    the pick-up of my return was set for {day}
    my refund for {order} is not on my account
    the {thing} came with a scratch and I want to return it
    I have a return open for {n} days
""")
_BILLING = lines("""
    I was charged twice for order {order}
    the invoice of {day} shows {n} items
    my voucher was not taken off the price of the {thing}
    I need an invoice for order {order}
    my payment for the {thing} was declined
    there is a fee on my bill from {day}
    my card was charged before the {thing} shipped
    I want to change how I pay for {order}
""")
_TECHNICAL = lines("""
    my {gadget} will not switch on
    I cannot log in to my account since {day}
    the app closes when I open my orders
    my {gadget} stopped working after {n} minutes
    the update of {day} stops at {n} percent
    my password reset mail does not come
    the page of the {gadget} shows an error
    there is a noise when I start the {gadget}
""")
_FIRST_NEGATIVE = lines("""
    This is unacceptable: {issue}!
    I am really angry, {issue}.
    What a disappointing service, {issue} and nobody cares.
    {issue}. This is the third time and I am fed up.
    Terrible experience. {issue}.
    Seriously? {issue} and all I get is silence.
    I am very unhappy with you, {issue}
    Worst shop ever, {issue}!!
    I have had enough. {issue}.
    How hard can it be? {issue} and still no help.
    Great, just great. {issue} again.
    You promised it would be fine. It is not: {issue}.
    I am so frustrated, {issue} and your site is useless.
    Not good enough! {issue}.
    {issue}, what a joke
    {issue}. I feel ignored and cheated.
    It is a shame how you treat people: {issue}.
    I regret buying from you, {issue}
    {issue} and that ruined my day. Awful.
    Nobody told me anything, {issue}. Really poor.
""")
_FIRST_NEUTRAL = lines("""
    Hello, {issue}.
    Hi, a question: {issue}.
    Good morning, {issue}. What do I need to do?
    {issue}, can you check?
    I am writing because {issue}.
    Hello there, it is about this: {issue}.
    Could you look into it? {issue}.
    {issue}. My order number is {order}.
    Hi, {issue}, what is the next step?
    To whom it may concern: {issue}.
    Just asking, {issue}.
    Good evening. {issue}. Please let me know.
    Is this the right place? {issue}.
    For your information, {issue}.
    {issue}, how long does that take?
    Hey, {issue}
    I have not bought here before. {issue}.
    Following up from {day}: {issue}.
    {issue}. Which details do you need?
    About the {thing}: {issue}.
""")
_FIRST_POSITIVE = lines("""
    Hi! I love your shop, one small thing: {issue}.
    Hello lovely team, {issue}, no hurry!
    You helped me so well last time, now {issue}.
    Happy customer here :) {issue}.
    The {thing} is wonderful, thank you! Only {issue}.
    Hope you have a great day! {issue}, I am sure you can fix it.
    Always a pleasure with you. {issue}.
    Thanks for the fast delivery! By the way, {issue}.
    My family enjoys the {thing} very much. {issue}.
    Best shop I know, and {issue}.
    I am glad you are here, {issue}.
    So pleased with the {thing}! {issue} though.
    Good morning and thanks in advance! {issue}.
    You are always so friendly. {issue}.
    I recommended you to {n} friends! {issue}.
    Not bad at all so far, I really like it. {issue}.
""")
_ANSWER_NEGATIVE = lines("""
    I already told you that twice.
    That does not help me at all.
    Why is this so slow? I am losing patience.
    You keep asking the same useless questions.
    No, that is wrong again.
    I waited {n} days for nothing!
    This is not what I paid for.
    Are you even reading what I write?
    I am sick of these excuses.
    It still fails, it is broken, like I said.
    That answer is ridiculous.
    I expected better, this is bad.
    Your colleague said the opposite, what a mess.
    I want my money back, enough of this.
    It is getting worse, not better.
    Unbelievable. Order {order}, again.
    I never had such trouble anywhere else.
    Stop sending me standard texts, it is annoying.
    I do not trust that any more.
    The {thing} is rubbish and so is the support.
    That is not fair and you know it.
    What a waste of my time.
""")
_ANSWER_NEUTRAL = lines("""
    The number is {order}.
    I bought it on {day}.
    Yes, that is the one.
    No, I have not tried that yet.
    It is the {thing}.
    OK, one moment please.
    I see the same page as before.
    The address is the same as on the invoice.
    I used the app on my phone.
    There were {n} of them in the box.
    I can send a picture.
    It says: in progress.
    My account is under the same name.
    Do you need anything else?
    It started on {day}.
    I paid by card.
    Which form do I fill in?
    Let me look. It is {order}.
    I am at home on {day}.
    The small one, in grey.
    And how long will that take?
    I did the steps, now it shows a number, {n}.
""")
_ANSWER_POSITIVE = lines("""
    Oh great, that was quick!
    Perfect, it is {order}. Thanks for looking!
    That sounds good to me.
    Nice, I like that idea.
    Thank you, you explain that very well.
    Wonderful, I will try it right away.
    Yes please, that would be lovely.
    Super, I appreciate your help.
    Good to know, thanks a lot.
    You are very kind, it is the {thing}.
    Cool, that already works better.
    I am relieved, thank you.
    Happy to wait for that, no problem.
    Awesome, sent it. Thanks!
    That is more than fair, thanks.
    Excellent, {day} suits me well.
    Glad to hear it!
    Thanks for taking the time, really nice of you.
    Amazing, I did not expect such a fast answer.
    Great service so far, here is the number: {order}.
""")
_NUDGE_NEGATIVE = lines("""
    Hello?? Is anybody there?
    Still waiting. This is ridiculous.
    I have been waiting for ages!
    Why does nobody answer me?
    Are you ignoring me?
    This takes far too long, I am annoyed.
    Great support. Nobody here.
    I will leave if nobody answers.
    How long do I have to sit here? Terrible.
    No answer, again. Pathetic.
""")
_NUDGE_NEUTRAL = lines("""
    Hello?
    Are you still there?
    Any news?
    I am here, waiting.
    Is somebody looking at this?
    Just checking in.
    Shall I write again later?
    ?
""")
_END_NEGATIVE = lines("""
    That did not solve anything.
    I will shop somewhere else, goodbye.
    So you cannot help me. Very disappointing.
    Worst support I have had. Bye.
    I am cancelling everything, I am done with you.
    Forget it, this is hopeless.
    I will leave a bad review, I am so annoyed.
    Not solved, not happy.
    That was a complete waste of time.
    You lost a customer.
    Poor. Just poor.
    I am still upset about this.
    Then keep it. I will never order again.
    I will complain to your manager, this is outrageous.
    No thanks to you. Awful.
    Still broken, still angry.
""")
_END_NEUTRAL = lines("""
    OK.
    Fine, I will wait for the mail.
    All right, noted.
    OK, that is all.
    I see. Bye.
    Then I will check again on {day}.
    Okay, no further questions.
    Understood.
    I will look at it later.
    OK, I have written it down: {order}.
    That is it for now.
    Good, bye.
    Alright, I will see if it comes.
    Noted, thanks.
""")
_END_POSITIVE = lines("""
    Thank you so much, you saved my day!
    Great help, thanks!
    That works perfectly now, thank you.
    Wonderful service, I will come back.
    You are the best!
    Many thanks, that was fast and friendly.
    Excellent, problem solved. Have a lovely day!
    I am really happy with that, thanks.
    Thanks a lot, very kind of you.
    Brilliant, it works! Thank you.
    Super friendly and quick, five stars.
    That is fantastic news, thank you!
    Perfect. I love this shop.
    Awesome, thanks for your patience with me.
    So glad this is sorted, thank you very much.
    Not a single complaint, great job!
    What a pleasant chat, thanks!
    Impressive, solved in minutes. Thank you!
    Lovely, I appreciate it.
    Thank you, I will recommend you to my friends.
    Cheers, that was excellent.
    Delighted, thank you!
    You made that so easy, thanks.
    Nice one, thanks, all good now.
""")
_POLITE = {
    "greet": lines("""
        Hello, thank you for waiting. I am happy to look into this for you.
        Good day, I am sorry for the trouble. Could you please give me your order number?
        Hi there, thanks for your message. Let me check that for you right away.
        Welcome, I understand how annoying that is. May I ask what you see on your side?
        Hello and thank you for your patience, I will take care of this now.
        Good morning, I am sorry to hear that. Let us find a solution together.
    """),
    "answer": lines("""
        Thank you. I have checked it: the {thing} is on its way and should arrive by {day}.
        I see what happened and I am sorry. Would you like a replacement or a refund?
        Could you please restart it once and tell me what you see?
        I have asked our warehouse and will tell you as soon as I hear from them.
        Thank you for the details, that helps a lot. I have corrected it in your account.
        I understand. I have started the refund for {order}, it takes up to {n} days.
        Of course, with pleasure. The new label is in your mail.
        Sorry again for the wait. I have passed it on with priority.
    """),
    "close": lines("""
        You are welcome, have a lovely day!
        My pleasure. Please write to us any time.
        Thank you for your patience, take care!
        Glad I could help. Is there anything else I can do for you?
    """),
}
_CURT = {
    "greet": lines("""
        Order number?
        Yes?
        What is the problem.
        Need your order number first.
        State your request.
    """),
    "answer": lines("""
        That is how it works.
        Read the terms, section {n}.
        Restart it.
        Wait {n} days.
        Not possible.
        Already told you. Check your mail.
        It was sent on {day}.
    """),
    "close": lines("""
        Done.
        Closing this.
        Ok bye.
        Anything else? No? Closed.
    """),
}
_BOT = {
    "greet": lines("""
        Hi, I am the shop's assistant. I look for an answer while you wait.
        Hello! Thank you for your message. Which order is it about?
        Welcome! I am a bot and can help with most questions.
    """),
    "answer": lines("""
        I found this article: How to follow your parcel.
        You can see the state of {order} under My orders.
        Did that answer your question? Reply yes or no.
        Please choose: 1 delivery, 2 return, 3 payment, 4 something else.
    """),
    "handoff": lines("""
        I connect you with a colleague.
        One of my human colleagues will take over in a moment.
        Let me pass you on to the team.
    """),
    "close": lines("""
        I am glad that this is answered.
        Thank you, I close this conversation now.
    """),
}

ENGLISH = Phrases(
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
