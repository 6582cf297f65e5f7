"""Every catalogued mistake is found and named: one random case of each mutant.

Rates over many shapes, with and without the operation's name, are measured by diagnosis_rates.py.
"""

import pytest
from diagnosis_rates import engine_calls, of_graph, of_mutant, of_right

from minicnn.gradcheck.bugs import OPERATIONS, false_alarms, graph

TASKS = [(name, i) for name, op in OPERATIONS.items() for i in range(len(op.mutants))]


def _name(task):
    mutant = OPERATIONS[task[0]].mutants[task[1]]
    return f"{task[0]}-{mutant.code}-{mutant.name}"


@pytest.mark.parametrize("task", TASKS, ids=_name)
def test_a_mutant_is_found_and_named(task):
    (_, code, _, _), [(found, named, codes)] = of_mutant((*task, 100), without_op=False)
    assert found
    assert named, f"{code} expected, found {codes}"


@pytest.mark.parametrize("number", range(len(graph.CASES)), ids=lambda i: graph.CASES[i].name)
def test_a_mistake_in_the_graph_is_found_and_named(number):
    (_, code, _, _), ((found, named, codes), _) = of_graph((number, 100))
    assert found
    assert named, f"{code} expected, found {codes}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_right_gradients_pass(name):
    for number in (100, 101):  # without and with the operation's name
        assert of_right(("op", name, number))[1] == ""


@pytest.mark.parametrize("number", range(len(false_alarms.CASES)))
def test_right_gradients_that_mislead_pass(number):
    assert of_right(("rightful", number, 100))[1] == ""


def test_right_gradients_of_the_engine_pass():
    calls = len(engine_calls(0))
    assert calls > 100
    alarms = [of_right(("engine", 0, i))[1] for i in range(0, calls, 4)]
    assert not any(alarms)
