"""Wrong and missing answers, which the checker of this exercise must tell apart."""

from minicnn.exercises.mutants import Mutant

# A suspect of each case of round 1 that it is not.
WRONG = ["GB017", "GB024", "GB028", "GB037", "GB058", "GB063", "GB074", "GB051"]
RIGHT = ["GB016", "GB001", "GB030", "GB038", "GB059", "GB069", "GB070", "GB049"]

MUTANTS = [
    *(Mutant("not-it", f'{n}: "{right}"', f'{n}: "{wrong}"')
      for n, (right, wrong) in enumerate(zip(RIGHT, WRONG, strict=True), 1)),
    Mutant("unanswered", '1: "GB016"', '1: "?"'),
    Mutant("unanswered", '8: "GB049"', '80: "GB049"'),
    Mutant("no-such-code", '3: "GB030"', '3: "GB30"'),
    Mutant("no-suspect", '4: "GB038"', '4: "GB091"'),
    Mutant("type", new="ANSWERS = list(ANSWERS.values())"),
    Mutant("type", "ROUND = 1 ", 'ROUND = "one" '),
    Mutant("missing", "ROUND = 1 ", "round_number = 1 "),
]  # fmt: skip
