"""Exercise 20: gradient detective."""

ROUND = 1  # another number: other cases

# The code of the bug in each case, like "GB018"; "?" while you do not know.
# `minicnn exercises check 20` shows the first case that is not solved.
#: ANSWERS = {
#:     1: "?",
#:     2: "?",
#:     3: "?",
#:     4: "?",
#:     5: "?",
#:     6: "?",
#:     7: "?",
#:     8: "?",
#: }
ANSWERS = {
    1: "GB016",  # dinput alone is wrong; a/n irregular: neither sign nor mean
    2: "GB001",  # n/g and a are equal: a is 1 - y*y, without g
    3: "GB030",  # a/g = x where x > 0, and n/g = 1
    4: "GB038",  # a - n is -1/N one place off the label, 1/N at the label
    5: "GB059",  # a/n = kw in every entry: divided by kh, not by kh*kw
    6: "GB069",  # the right places; a/n there is the maximum itself
    7: "GB070",  # a/n is one number per map: 1/coefficient[c]
    8: "GB049",  # a = n inside, and 0 in the first and last rows and columns
}


if __name__ == "__main__":  # runs with: python ex20_gradient_detective.py
    print("open:", [case for case, code in ANSWERS.items() if code == "?"])
