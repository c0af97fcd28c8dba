"""Replies in the styles that models really use, each with the verdict that a careful person gives.

A case: options (empty: an open question), the gold answer (a letter, or a text), the reply, the verdict (True, False,
or None: rules alone must not decide) and the rule that decides. In the comments: why, where it isn't plain.
"""

from typing import Any, NamedTuple

COLORS = ["red", "blue", "green", "dark blue"]
COUNTS = ["3", "5", "7", "12"]
PEOPLE = ["3 people", "5 people", "7 people"]
SIDES = ["left", "right", "above", "below"]
SIGNS = ["STOP", "YIELD", "EXIT", "None of the above"]
YES_NO = ["Yes", "No"]
LETTERS = ["C", "A", "D", "B"]  # what letter is on the plate?
CARS = ["a blue car", "a red car", "a green truck"]
BOTH = ["the door", "the window", "Both A and B", "neither"]
PARTS = ["1/4", "1/2", "3/4"]
FARBEN = ["红色", "蓝色", "绿色", "黄色"]
UNSURE = ["red", "blue", "The image does not show it"]
OPEN: list[str] = []


class Case(NamedTuple):
    options: list[str]
    gold: str
    reply: str
    correct: bool | None
    rule: str

    @property
    def item(self) -> dict[str, Any]:
        """What of a row of BENCHMARK is used."""
        label = self.gold if self.options else ""
        answer = self.options["ABCDEFGHIJ".index(label)] if label else self.gold
        return {"question": "What?", "options": self.options, "label": label, "answer": answer}


Y, N, U = True, False, None

BARE_LETTERS = [
    (COLORS, "B", "B", Y, "letter"),
    (COLORS, "B", "b", Y, "letter"),
    (COLORS, "A", "a", Y, "letter"),
    (COLORS, "B", " \n B \n", Y, "letter"),
    (COLORS, "B", "(B)", Y, "letter"),
    (COLORS, "B", "B.", Y, "letter"),
    (COLORS, "B", "B)", Y, "letter"),
    (COLORS, "B", "[B]", Y, "letter"),
    (COLORS, "B", "**B**", Y, "letter"),
    (COLORS, "B", "**(B)**", Y, "letter"),
    (COLORS, "B", "*B*", Y, "letter"),
    (COLORS, "B", "`B`", Y, "letter"),
    (COLORS, "B", '"B"', Y, "letter"),
    (COLORS, "B", "$B$", Y, "letter"),
    (COLORS, "B", "\\boxed{B}", Y, "letter"),
    (COLORS, "B", "$\\boxed{\\text{B}}$", Y, "letter"),
    (COLORS, "B", "\\(\\boxed{\\mathrm{B}}\\)", Y, "letter"),
    (COLORS, "B", "Option B", Y, "letter"),
    (COLORS, "B", "option (b).", Y, "letter"),
    (COLORS, "B", "### B", Y, "letter"),
    (COLORS, "B", "- B", Y, "letter"),
    (COLORS, "B", "B!", Y, "letter"),
    (COLORS, "B", "```\nB\n```", Y, "letter"),
    (COLORS, "B", "C", N, "letter"),
    (COLORS, "B", "F", N, "letter"),  # no such option
    (LETTERS, "B", "B", Y, "letter"),  # letters are asked for: option B, though D's text is B
    (LETTERS, "D", "B", N, "letter"),
]

MARKED_LETTERS = [
    (COLORS, "B", "Answer: B", Y, "letter"),
    (COLORS, "B", "answer: (b)", Y, "letter"),
    (COLORS, "B", "ANSWER: B", Y, "letter"),
    (COLORS, "B", "**Answer:** B", Y, "letter"),
    (COLORS, "B", "**Answer: B**", Y, "letter"),
    (COLORS, "B", "**Final Answer**: **B**", Y, "letter"),
    (COLORS, "B", "Answer B", Y, "letter"),
    (COLORS, "B", "The answer is (B).", Y, "letter"),
    (COLORS, "B", "The answer is B", Y, "letter"),
    (COLORS, "B", "The correct answer is **B**.", Y, "letter"),
    (COLORS, "B", "The correct answer is:\n\nB", Y, "letter"),
    (COLORS, "B", "The correct answer is option B.", Y, "letter"),
    (COLORS, "B", "The correct option is B: blue.", Y, "letter"),
    (COLORS, "B", "The best choice is (B) blue.", Y, "letter"),
    (COLORS, "B", "Therefore, the answer is \\boxed{B}.", Y, "letter"),
    (COLORS, "B", "I would choose B.", Y, "letter"),
    (COLORS, "B", "I'd go with option B", Y, "letter"),
    (COLORS, "B", "Looking at the shirt, I'll pick (B).", Y, "letter"),
    (COLORS, "B", "So the answer must be B", Y, "letter"),
    (COLORS, "B", "The answer to the question is B.", Y, "letter"),
    (COLORS, "B", "I think it's B.", Y, "letter"),
    (COLORS, "B", "It is B", Y, "letter"),
    (COLORS, "B", "Probably B.", Y, "letter"),
    (COLORS, "B", "Option B is correct.", Y, "letter"),
    (COLORS, "B", "B is the correct answer.", Y, "letter"),
    (COLORS, "B", "Option B is correct. The coat in option A is red.", Y, "letter"),
    (COLORS, "B", "(B) blue is the right choice.", Y, "letter"),
    (COLORS, "B", '{"answer": "B"}', Y, "letter"),
    (COLORS, "B", '```json\n{"reason": "A is red, C is green", "answer": "B"}\n```', Y, "letter"),
    (COLORS, "B", "The answer is A.", N, "letter"),
    (COLORS, "B", "The answer is B because the coat is not red like in A.", Y, "letter"),
    (COLORS, "B", "The answer is B, not A.", Y, "letter"),
    (COLORS, "B", "The answer is B. Red is the color of the other car.", Y, "letter"),
]

LETTER_AND_TEXT = [
    (COLORS, "B", "B) blue", Y, "letter"),
    (COLORS, "B", "B. blue", Y, "letter"),
    (COLORS, "B", "B: blue", Y, "letter"),
    (COLORS, "B", "(B) blue", Y, "letter"),
    (COLORS, "B", "B blue", Y, "letter"),
    (COLORS, "B", "B - blue", Y, "letter"),
    (COLORS, "B", "B (blue)", Y, "letter"),
    (COLORS, "B", "blue (B)", Y, "letter"),
    (COLORS, "B", "**B. Blue**", Y, "letter"),
    (COLORS, "B", "B. blue\n\nThe jacket of the man on the left is clearly blue, not red.", Y, "letter"),
    (COLORS, "B", "B\n\nExplanation: option A is red and option C is green. Neither fits.", Y, "letter"),
    (CARS, "A", "A. a blue car", Y, "letter"),
    (COUNTS, "B", "B) 5", Y, "letter"),
    (COLORS, "B", "D) dark blue", N, "letter"),
    (COLORS, "B", "B) red", N, "letter"),  # names two options: nobody can say which is meant
    (COLORS, "A", "B) red", N, "letter"),
    (COLORS, "B", "Blue (A)", N, "letter"),
    (COLORS, "B", "blue A", N, "letter"),
    (COLORS, "A", "blue A", N, "letter"),
    (COLORS, "B", "blue B", Y, "letter"),
    (COLORS, "B", "Answer: Blue (option A)", N, "letter"),
    (COLORS, "B", "The answer is B. red", N, "letter"),
    (COLORS, "B", "B, since the sky behind it is blue.", Y, "letter"),
    (COLORS, "B", "B because the coat is blue", Y, "letter"),
]

SEVERAL_LETTERS = [
    (COLORS, "B", "A or B", N, "letter"),
    (COLORS, "B", "A and B", N, "letter"),
    (COLORS, "B", "A, B", N, "letter"),
    (COLORS, "B", "B or D", N, "letter"),
    (COLORS, "B", "A&B", N, "letter"),
    (COLORS, "B", "B,C", N, "letter"),
    (COLORS, "B", "B, C", N, "letter"),
    (COLORS, "B", "B, not C", Y, "letter"),
    (COLORS, "B", "B, a blue one", Y, "letter"),
    (COLORS, "B", "Option A shows red, but B is correct.", Y, "letter"),
    (COLORS, "B", "I'm torn between A and B, but B seems more likely.", Y, "letter"),
    (COLORS, "D", "The answer is either B or D, most likely D.", Y, "letter"),
    (COLORS, "B", "It could be any of A, B, C or D.", N, "letter"),
    (COLORS, "B", "The answer could be A or B.", N, "letter"),
    (COLORS, "B", "Either (A) or (B).", N, "letter"),
    (COLORS, "B", "B rather than A", Y, "letter"),
    (COLORS, "B", "Not A but B.", Y, "letter"),
    (COLORS, "B", "It should be option B instead of option A.", Y, "letter"),
    (COLORS, "B", "A is wrong, C is wrong, so B.", Y, "letter"),
    (COLORS, "B", "A and C are incorrect, so it must be B.", Y, "letter"),
    (COLORS, "B", "It isn't A, it's B.", Y, "letter"),
    (COLORS, "B", "It can't be A. It can't be C. So it is B.", Y, "letter"),
    (COLORS, "B", "I think A, no, B", Y, "letter"),
    (COLORS, "B", "I would not choose B", U, "none"),
    (COLORS, "B", "I wouldn't pick B.", U, "none"),
    (COLORS, "B", "The answer cannot be B.", U, "none"),
    (COLORS, "B", "It is anything but B", U, "none"),
    (COLORS, "B", "Everything but B", U, "none"),
    (COLORS, "B", "B is excluded", U, "none"),
    (COLORS, "B", "B? No.", U, "none"),
    (COLORS, "B", "Anything except blue", U, "none"),
    (COLORS, "B", "almost blue", U, "none"),
    (COUNTS, "B", "There are 5 birds, maybe more.", U, "none"),
    (COUNTS, "B", "Bus 5", U, "none"),
    (COUNTS, "B", "5 out of 7", U, "none"),
    (COLORS, "B", "Not A.", U, "none"),  # what it is isn't said
    (COLORS, "B", "The answer is not A.", U, "none"),
    (BOTH, "C", "Both A and B", Y, "option_text"),
    (BOTH, "C", "C", Y, "letter"),
]

REASONING = [
    (COLORS, "B", "A shows red. B shows blue. C shows green. The answer is B.", Y, "letter"),
    (COLORS, "B", "Option A is red, which is wrong. Option C is green, also wrong. So B.", Y, "letter"),
    (COLORS, "C", "Let me check. A: red? No. B: blue? No. C: green? Yes, the coat is green.\nAnswer: C", Y, "letter"),
    (COLORS, "C", "The answer is A. Wait, looking again, the coat is not red. It is C.", Y, "letter"),
    (COLORS, "A", "The answer is A. Wait, looking again, the coat is not red. It is C.", N, "letter"),
    (COLORS, "C", "First I thought the answer is A. But the final answer is C.", Y, "letter"),
    (COLORS, "B", "Option A shows a red car. Option B shows", U, "none"),  # cut by length
    (COLORS, "A", "Let me look at the options. A is red. The coat could be A", U, "none"),  # cut by length
    (COLORS, "B", "Is it A? Is it B? I need to look closer at the", U, "none"),
    (COLORS, "B", "Is the answer A? No. The coat is blue.", Y, "option_text"),
    (COLORS, "B", "The coat on the left is red.\nThe coat on the right is blue.", Y, "option_text"),
    (COLORS, "B", "1. The man wears a coat.\n2. The coat is blue.\n\n**B**", Y, "letter"),
    (
        COLORS,
        "B",
        "Step 1: compare with A (red).\nStep 2: compare with B (blue).\n\nFinal answer: B) blue",
        Y,
        "letter",
    ),
    (COLORS, "B", "<think>It might be A. The answer is A.</think>B", Y, "letter"),
    (COLORS, "B", "<think>It might be A. No, <answer>C</answer>.</think>\n\n<answer>B</answer>", Y, "letter"),
    (COLORS, "B", "<think>It is B, the answer is B", U, "none"),  # thinking never ended: nothing was answered
    (COLORS, "B", "It might be A.</think>\nB", Y, "letter"),  # the opening tag was in the prompt
    (COLORS, "B", "◁think▷A? B?◁/think▷The answer is B.", Y, "letter"),
]

LISTS = [
    (COLORS, "D", "A. red\nB. blue\nC. green\nD. dark blue", U, "none"),  # the options said over
    (COLORS, "A", "A. red B. blue C. green D. dark blue", N, "letter"),
    (COLORS, "B", "A: No\nB: Yes\nC: No", U, "none"),
    (COLORS, "B", "A. red B. blue C. green\nAnswer: B", Y, "letter"),
]

SPANS = [
    (COLORS, "B", "<answer>B</answer>", Y, "letter"),
    (COLORS, "B", "The coat is red.\n<answer>B</answer>", Y, "letter"),
    (COLORS, "B", "<answer> (B) blue </answer>", Y, "letter"),
    (COLORS, "B", "<answer>\\boxed{B}</answer>", Y, "letter"),
    (COLORS, "B", "<answer>The answer is B.</answer>", Y, "letter"),
    (COLORS, "B", "<ANSWER>B</ANSWER>", Y, "letter"),
    (COLORS, "B", "<answer>A</answer> On reflection: <answer>B</answer>", Y, "letter"),
    (COLORS, "B", "Reply as <answer>X</answer>: <answer>B</answer>", Y, "letter"),
    (COLORS, "B", "<answer>A</answer> The answer is B.", N, "letter"),  # the span is where the answer was asked for
    (COLORS, "B", "<answer>blue</answer>", Y, "option_text"),
    (COLORS, "B", "<answer>A or B</answer>", N, "letter"),
    (COLORS, "B", "<answer>A is red, so B</answer>", Y, "letter"),
    (COLORS, "B", "<answer>B", Y, "letter"),  # unclosed: evaluation reads it, the reward does not
    (COLORS, "B", "The coat looks blue. <answer>B</answ", Y, "letter"),
    (COLORS, "B", "B</answer>", Y, "letter"),  # the opening tag was in the prompt
    (COLORS, "B", "<answer></answer>", U, "none"),
    (COLORS, "B", "<|begin_of_box|>B<|end_of_box|>", Y, "letter"),
    (COLORS, "B", "<answer><|begin_of_box|>B<|end_of_box|></answer>", Y, "letter"),
    (COLORS, "B", "<answer>blue<|endoftext|></answer>", Y, "option_text"),
    (COLORS, "B", "It isn't \\boxed{A}. It is \\boxed{B}", Y, "letter"),
    (COLORS, "B", "B<|im_end|>", Y, "letter"),
    (OPEN, "STOP", "<answer>Stop</answer>", Y, "exact"),
    (OPEN, "STOP", "<answer>STOP", Y, "exact"),
    (OPEN, "STOP", "STOP<|im_end|>", Y, "exact"),
]

OPTION_TEXTS = [
    (COLORS, "B", "blue", Y, "option_text"),
    (COLORS, "B", "Blue.", Y, "option_text"),
    (COLORS, "D", "dark blue", Y, "option_text"),
    (COLORS, "B", "dark blue", N, "option_text"),
    (COLORS, "B", "The answer is blue.", Y, "option_text"),
    (COLORS, "B", "The coat is blue.", Y, "option_text"),
    (COLORS, "D", "It is a dark blue coat.", Y, "option_text"),
    (COLORS, "B", "The coat of the man next to the red car is blue.", Y, "option_text"),
    (COLORS, "B", "The coat is not red.", U, "none"),
    (COLORS, "B", "I don't think that it is red", U, "none"),
    (COLORS, "B", "red and blue", N, "option_text"),
    (COLORS, "B", "It is red or blue.", N, "option_text"),
    (COLORS, "B", "The color is blue, not red.", Y, "option_text"),
    (COLORS, "B", "Blue is the correct answer.", Y, "option_text"),
    (COLORS, "B", "azure", U, "none"),  # a judge may say
    (CARS, "B", "A red car", Y, "option_text"),
    (CARS, "B", "a red car", Y, "option_text"),
    (CARS, "A", "A red car", N, "option_text"),
    (CARS, "B", "The picture shows a red car.", Y, "option_text"),
    (SIDES, "A", "The cup is to the left of the plate.", Y, "option_text"),
    (SIDES, "B", "On the right", Y, "option_text"),
    (SIGNS, "A", 'The sign says "STOP".', Y, "option_text"),
    (SIGNS, "D", "None of the above", Y, "option_text"),
    (SIGNS, "A", "None of the above.", N, "option_text"),
    (YES_NO, "A", "Yes", Y, "option_text"),
    (YES_NO, "B", "No, there is no dog in the picture.", Y, "option_text"),
    (YES_NO, "A", "Yes, the light is on.", Y, "option_text"),
    (YES_NO, "A", "是的。", Y, "option_text"),
    (YES_NO, "A", "no", N, "option_text"),
    (LETTERS, "D", "The plate shows a B.", Y, "option_text"),  # of the plate, not of the options
    (LETTERS, "D", "I see a B on it", U, "none"),  # option B, or the text of option D
    (LETTERS, "D", "The answer is D, since the plate shows B.", Y, "letter"),
    (COUNTS, "B", "5", Y, "option_text"),
    (COUNTS, "B", "five", Y, "option_text"),
    (COUNTS, "B", "There are 5 people in the image.", Y, "number"),
    (COUNTS, "B", "I count five of them.", Y, "number"),
    (COUNTS, "D", "A dozen", Y, "option_text"),
    (PEOPLE, "B", "5", Y, "number"),
    (PEOPLE, "B", "Five persons", U, "none"),  # a judge may say
    (COUNTS, "B", "There are 6.", U, "none"),  # none of the options
    (PARTS, "B", "\\frac{1}{2}", Y, "mathematics"),
    (PARTS, "C", "0.75", Y, "mathematics"),
    (PARTS, "A", "The share is 25%.", Y, "mathematics"),
]

DECLINED = [
    (COLORS, "B", "None of these", N, "declined"),
    (COLORS, "B", "None of the above.", N, "declined"),
    (COLORS, "B", "All of the above", N, "declined"),
    (COLORS, "B", "<answer>None of the options</answer>", N, "declined"),
    (COLORS, "B", "I'm sorry, but I can't assist with that.", N, "declined"),
    (COLORS, "B", "I cannot determine the color from this image.", N, "declined"),
    (COLORS, "B", "The color cannot be determined.", N, "declined"),
    (COLORS, "B", "Answer: None", N, "declined"),
    (COLORS, "B", "Unknown", N, "declined"),
    (COLORS, "B", "I can't see it well, but the answer is B.", Y, "letter"),
    (COLORS, "B", "无法确定", N, "declined"),
    (COLORS, "B", "以上都不是", N, "declined"),
    (UNSURE, "C", "The image does not show it.", Y, "option_text"),
    (UNSURE, "C", "I cannot determine the color.", U, "none"),  # may be what option C means
    (OPEN, "STOP", "The text is not legible.", N, "declined"),
    (OPEN, "STOP", "I am unable to read the sign.", N, "declined"),
    (OPEN, "unknown", "unknown", Y, "exact"),
    (OPEN, "It cannot be determined", "Impossible to say", U, "none"),
    (COLORS, "B", "", U, "none"),
    (COLORS, "B", "   \n", U, "none"),
    (COLORS, "B", "...", U, "none"),
    (COLORS, "B", "The image shows a street with many people.", U, "none"),
    (OPEN, "5", "", U, "none"),
]

CHINESE = [
    (FARBEN, "B", "答案是B", Y, "letter"),
    (FARBEN, "B", "答案:B", Y, "letter"),
    (FARBEN, "B", "答案：Ｂ。", Y, "letter"),  # full-width
    (FARBEN, "B", "选B", Y, "letter"),
    (FARBEN, "B", "我选择B。", Y, "letter"),
    (FARBEN, "B", "故选B", Y, "letter"),
    (FARBEN, "B", "应选(B)", Y, "letter"),
    (FARBEN, "B", "正确答案为B", Y, "letter"),
    (FARBEN, "B", "（Ｂ）", Y, "letter"),
    (FARBEN, "B", "B选项", Y, "letter"),
    (FARBEN, "B", "选项B", Y, "letter"),
    (FARBEN, "B", "B、蓝色", Y, "letter"),
    (FARBEN, "B", "A不对，因此选B。", Y, "letter"),
    (FARBEN, "B", "选项A是红色，选项C是绿色。答案是B。", Y, "letter"),
    (FARBEN, "B", "B是正确的", Y, "letter"),
    (FARBEN, "B", "B选项正确，A选项错误", Y, "letter"),
    (FARBEN, "B", "排除A和C，选B", Y, "letter"),
    (FARBEN, "B", "选A。等等，应该选B。", Y, "letter"),
    (FARBEN, "B", "答案是A", N, "letter"),
    (FARBEN, "B", "不是A，而是B", Y, "letter"),
    (FARBEN, "B", "蓝色", Y, "option_text"),
    (FARBEN, "B", "汽车的颜色是蓝色。", Y, "option_text"),
    (FARBEN, "B", "图中是一辆蓝色的汽车。", Y, "option_text"),
    (FARBEN, "B", "红色和蓝色", N, "option_text"),
    (FARBEN, "B", "不是红色", U, "none"),
    (OPEN, "5", "五个", Y, "number"),
    (OPEN, "5", "５", Y, "exact"),
    (OPEN, "5", "图中有5个人。", Y, "number"),
    (OPEN, "12", "十二", Y, "number"),
    (OPEN, "25", "二十五个", Y, "number"),
    (OPEN, "5", "六个", N, "number"),
    (OPEN, "出口", "牌子上写着“出口”。", Y, "exact"),
    (OPEN, "是", "是的，有一只狗。", Y, "yes_no"),
]

NUMBERS = [
    (OPEN, "5", "5", Y, "exact"),
    (OPEN, "5", "five", Y, "exact"),
    (OPEN, "5", "Five.", Y, "exact"),
    (OPEN, "5", "5.0", Y, "exact"),
    (OPEN, "5", "\\boxed{5}", Y, "exact"),
    (OPEN, "5", "**5**", Y, "exact"),
    (OPEN, "5", "5 people", Y, "number"),
    (OPEN, "5", "There are 5 people in the image.", Y, "number"),
    (OPEN, "5", "There are five people.", Y, "number"),
    (OPEN, "5", "about 5", Y, "number"),
    (OPEN, "5 people", "5", Y, "number"),
    (OPEN, "5 people", "There are 5 people on the bench", Y, "number"),
    (OPEN, "5 people", "5 cars", U, "none"),
    (OPEN, "5", "5 (five)", Y, "number"),
    (OPEN, "5", "5+", U, "none"),
    (OPEN, "5", "5 is not right", U, "none"),
    (OPEN, "5", "5以上", U, "none"),
    (OPEN, "5", "不是5", U, "none"),
    (OPEN, "5", "#5", Y, "exact"),
    (OPEN, "5", "5th", U, "none"),
    (OPEN, "5", "more than 5", U, "none"),
    (OPEN, "5", "1. 5", U, "none"),
    (OPEN, "5", "6", N, "number"),
    (OPEN, "5", "There are 6 people.", N, "number"),
    (OPEN, "5", "5 or 6", N, "number"),
    (OPEN, "5", "5-6", N, "number"),
    (OPEN, "5", "at least 5", U, "none"),
    (OPEN, "5", "2 men and 3 women", U, "none"),
    (OPEN, "5", "2 men and 3 women, so the answer is 5.", Y, "exact"),
    (OPEN, "1200", "1,200", Y, "exact"),
    (OPEN, "1,200", "1200", Y, "exact"),
    (OPEN, "1200", "1 200", Y, "number"),
    (OPEN, "25", "twenty-five", Y, "exact"),
    (OPEN, "2000000", "2 million", Y, "exact"),
    (OPEN, "300", "three hundred", Y, "exact"),
    (OPEN, "5 cm", "5cm", Y, "exact"),
    (OPEN, "5 cm", "5 centimeters", Y, "exact"),
    (OPEN, "5 cm", "5", Y, "number"),
    (OPEN, "5 cm", "50 mm", U, "none"),  # a judge may convert
    (OPEN, "20%", "20 percent", Y, "exact"),
    (OPEN, "20%", "20", Y, "number"),
    (OPEN, "20%", "20\\%", Y, "exact"),
    (OPEN, "20%", "0.2", Y, "mathematics"),
    (OPEN, "$5", "5 dollars", Y, "exact"),
    (OPEN, "-3", "3", N, "number"),
    (OPEN, "0472", "472", U, "none"),  # a code, not a quantity
    (OPEN, "305", "Room 305", Y, "number"),
    (OPEN, "3.5", "The price is 3.50.", Y, "number"),
    (OPEN, "10:30", "10:30", Y, "exact"),
    (OPEN, "10:30", "11:30", U, "none"),
    (OPEN, "7", "not 7", U, "none"),
]

MATHEMATICS = [
    (OPEN, "1/2", "0.5", Y, "mathematics"),
    (OPEN, "0.5", "\\frac{1}{2}", Y, "mathematics"),
    (OPEN, "0.5", "The answer is $\\frac{1}{2}$.", Y, "mathematics"),
    (OPEN, "3/4", "¾", Y, "exact"),
    (OPEN, "3/4", "75%", Y, "mathematics"),
    (OPEN, "3/4", "3:4", U, "none"),
    (OPEN, "5.5", "5½", Y, "mathematics"),
    (OPEN, "1 1/2", "1.5", Y, "mathematics"),
    (OPEN, "2\\sqrt{2}", "\\boxed{\\sqrt{8}}", Y, "mathematics"),
    (OPEN, "5", "x = 5", Y, "mathematics"),
    (OPEN, "5", "$x=5$", Y, "mathematics"),
    (OPEN, "2x+1", "1+2x", Y, "mathematics"),
    (OPEN, "1024", "2^{10}", Y, "mathematics"),
    (OPEN, "1/2", "1/3", N, "mathematics"),
    (OPEN, "3-2", "1", U, "none"),  # a score
    (OPEN, "1920x1080", "1080x1920", U, "none"),
    (OPEN, "8", "\\sqrt{64}", Y, "mathematics"),
    (OPEN, "90°", "90^\\circ", Y, "exact"),
    (OPEN, "5", "9^{9^{9^9}}", U, "none"),  # never computed
]

SHORT_TEXTS = [
    (OPEN, "STOP", "STOP", Y, "exact"),
    (OPEN, "STOP", "stop", Y, "exact"),
    (OPEN, "STOP", '"STOP"', Y, "exact"),
    (OPEN, "STOP", "The sign says 'STOP'.", Y, "exact"),
    (OPEN, "STOP", "The text on the sign reads: **STOP**", Y, "exact"),
    (OPEN, "STOP", 'The sign displays the word "STOP".', Y, "exact"),
    (OPEN, "STOP", "“STOP” is written on the sign", Y, "exact"),
    (OPEN, "STOP", 'It does not say "STOP".', U, "none"),
    (OPEN, "12:30", "The clock shows 12:30.", Y, "exact"),
    (OPEN, "STOP", "The sign does not say STOP", U, "none"),
    (OPEN, "STOP", "Answer: STOP", Y, "exact"),
    (OPEN, "STOP", "The sign is octagonal and red.\nIt reads STOP.", Y, "exact"),
    (OPEN, "STOP", '{"answer": "STOP"}', Y, "exact"),
    (OPEN, "STOP", "GO", U, "none"),
    (OPEN, "red", "The car is red.", Y, "exact"),
    (OPEN, "red", "It's red", Y, "exact"),
    (OPEN, "red", "Probably red.", Y, "exact"),
    (OPEN, "red", "a red one", U, "none"),
    (OPEN, "red", "The car next to the red truck is blue.", U, "none"),
    (OPEN, "red", "The car isn't red.", U, "none"),
    (OPEN, "red", "The answer is red. Wait, it is blue.", U, "none"),
    (OPEN, "wood", "It is made of wood.", U, "none"),  # a judge will say
    (OPEN, "B", "B", Y, "exact"),
    (OPEN, "a cat", "the cat", Y, "exact"),
    (OPEN, "yes", "Yes.", Y, "exact"),
    (OPEN, "yes", "Yes, there is a dog.", Y, "yes_no"),
    (OPEN, "yes", "No, there isn't.", N, "yes_no"),
    (OPEN, "no", "No, there isn't.", Y, "yes_no"),
    (OPEN, "no", "yes", N, "yes_no"),
    (OPEN, "false", "True.", N, "yes_no"),
    (OPEN, "yes", "There is a dog.", U, "none"),
    (OPEN, "café", "Café", Y, "exact"),
]

CASES = [
    Case(*row)
    for group in (
        BARE_LETTERS, MARKED_LETTERS, LETTER_AND_TEXT, SEVERAL_LETTERS, REASONING, LISTS, SPANS, OPTION_TEXTS, DECLINED,
        CHINESE, NUMBERS, MATHEMATICS, SHORT_TEXTS,
    )
    for row in group
]  # fmt: skip
