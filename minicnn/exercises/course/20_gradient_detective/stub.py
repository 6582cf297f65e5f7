"""Exercise 20: gradient detective."""

ROUND = 1  # another number: other cases

# The code of the bug in each case, like "GB018"; "?" while you do not know.
# `minicnn exercises check 20` shows the first case that is not solved.
ANSWERS = {
    1: "?",
    2: "?",
    3: "?",
    4: "?",
    5: "?",
    6: "?",
    7: "?",
    8: "?",
}

if __name__ == "__main__":  # runs with: python ex20_gradient_detective.py
    print("open:", [case for case, code in ANSWERS.items() if code == "?"])
