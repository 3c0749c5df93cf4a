"""Writes `bleu_fixture.json`: scores and tokens of sacrebleu at its defaults.

    pip install sacrebleu==2.6.0
    python bleu_fixture.py > bleu_fixture.json
"""

import json

import sacrebleu
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

SENTENCES = [
    ("the cat sat on the mat", ["the cat sat on a mat"]),
    ("the cat sat on the mat", ["the cat sat on the mat"]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("It is a guide to action which ensures that the military always obeys the commands of the party.",
     ["It is a guide to action that ensures that the military will forever heed Party commands.",
      "It is the guiding principle which guarantees the military forces always being under the command of the Party.",
      "It is the practical guide for the army always to heed the directions of the party."]),
    ("It costs $1,234.50, i.e. 3.5% more.", ["It costs $1,234.50, that is 3.5% more."]),
    ("well-known 1990-1991 and 5-year-old, O'Neill's \"quote\"", ["well-known 1990 - 1991 and 5-year-old O'Neill's 'quote'"]),
    ("a &amp; b &lt; c &quot;d&quot;", ["a & b < c \"d\""]),
    ("line-\nbreak and\nnew line", ["linebreak and new line"]),
    ("<skipped>word", ["word"]),
    ("word", ["word"]),
    ("two words", ["two words"]),
    ("three short words", ["three short words", "something else entirely here"]),
    ("no overlap here at all", ["entirely different sentence without any"]),
    ("", ["something"]),
    ("Returns the sum of two numbers.", ["Return the sum of the two given numbers."]),
    ("I am so sorry to hear that! How are you feeling now?", ["Oh no, I'm sorry to hear that. How do you feel?"]),
    ("x=1,y=2;f(x)={a:[1,2]}", ["x = 1, y = 2; f(x) = {a: [1, 2]}"]),
    ("1.5,2.5 .5 5. ,, .. a.b a,b 1.a a.1", ["1.5, 2.5 .5 5. , , . . a.b a,b 1.a a.1"]),
    ("das ist ein Test — mit Umlauten äöü", ["das ist ein Test mit Umlauten äöü"]),
    ("你好，世界。", ["你好 世界"]),
    ("a b c d e f g h", ["a b c d x f g h", "a b c d"]),
    ("trailing space  ", ["trailing space"]),
    ("12-34--56 -7 8-", ["12 - 34 - - 56 -7 8 -"]),
    ("#hash @at ~tilde ^caret `tick` |pipe| \\back/slash", ["# hash @ at ~ tilde ^ caret ` tick ` | pipe |"]),
]
CORPORA = [list(range(2)), list(range(len(SENTENCES))), [4, 5, 6], [12], [9, 10, 11], [12, 13], [14, 15, 16, 17]]


def main():
    tokenize = Tokenizer13a()
    sentences = [
        {
            "hypothesis": hypothesis,
            "references": references,
            "tokens": tokenize(hypothesis.rstrip()),
            "score": sacrebleu.sentence_bleu(hypothesis, references).score,
        }
        for hypothesis, references in SENTENCES
    ]
    corpora = []
    for indices in CORPORA:
        width = max(len(SENTENCES[i][1]) for i in indices)
        # sacrebleu takes one stream a reference; None where a segment has fewer.
        streams = [
            [SENTENCES[i][1][k] if k < len(SENTENCES[i][1]) else None for i in indices]
            for k in range(width)
        ]
        score = sacrebleu.corpus_bleu([SENTENCES[i][0] for i in indices], streams).score
        corpora.append({"sentences": indices, "score": score})
    print(json.dumps({"sentences": sentences, "corpora": corpora}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
