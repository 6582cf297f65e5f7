"""The checker on backward passes as students write them (programs/homework.py), one seed each."""

import homework
import numpy as np
import pytest

WRONG = [case for case in homework.CASES if case.sort != "right"]
RIGHT = [case for case in homework.CASES if case.sort == "right"]


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def test_there_are_as_many_as_the_issue_asks_for():
    assert len({case.name for case in homework.CASES}) == len(homework.CASES)
    assert len(WRONG) >= 45
    assert len(RIGHT) >= 15
    assert sum(case.sort == "two mistakes" for case in WRONG) >= 5


@by_name(WRONG)
def test_wrong_ones_differ_from_plain_central_differences_and_are_refused(case):
    assert homework.own_judgement(case) > 1e-3
    report = homework.check(case, 0, named=bool(case.op))
    assert not report.ok, report


@by_name(RIGHT)
def test_right_ones_agree_with_plain_central_differences_and_pass(case):
    if not case.kinks:
        assert homework.own_judgement(case) < 1e-6
    report = homework.check(case, 0, named=bool(case.op))
    assert report.ok, report


def test_the_own_judgement_sees_a_shape_a_mutation_and_a_factor():
    def case(backward, forward=np.sin):
        return homework.Case("x", "right", (), None, None, False, lambda rng: (
            forward, backward, [rng.normal(size=(2, 3))])
        )  # fmt: skip

    assert homework.own_judgement(case(lambda g, x: g * np.cos(x))) < 1e-9
    assert homework.own_judgement(case(lambda g, x: 1.01 * g * np.cos(x))) > 1e-3
    assert homework.own_judgement(case(lambda g, x: (g * np.cos(x)).sum(axis=0))) == np.inf
    assert homework.own_judgement(case(lambda g, x: g, lambda x: np.negative(x, out=x))) == np.inf
