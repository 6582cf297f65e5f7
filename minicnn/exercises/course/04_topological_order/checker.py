"""Checks topological_order and backward on graphs with reuse, with depth, and with many paths."""

import numpy as np

from minicnn.exercises.checking import Finding, Stop, compare

DEPTH = 10_000
RUNGS = 24  # of a ladder: 2^24 paths
LIMIT = 10


class Node:
    """A node that counts how often its parents are looked at."""

    looks = 0
    most = 10**9  # looks after which the check ends

    def __init__(self, name, parents=()):
        self.name, self.grad, self._parents = name, 0.0, list(parents)

    def __repr__(self):
        return self.name

    @property
    def parents(self):
        """A list of pairs (node, local derivative)."""
        Node.looks += 1
        if Node.looks > Node.most:
            raise Stop(
                "every-path", "nodes are visited once for each path", "each node once or twice",
                f"more than {Node.most} visits of {RUNGS + 1} nodes", "keep a set of nodes seen",
            )  # fmt: skip
        return list(self._parents)


def check(learner, rng):
    """A small graph that names mistakes, random ones, a ladder of many paths, a deep chain."""
    yield from _small(learner, rng)
    for _ in range(4):
        nodes = _graph(rng, int(rng.integers(6, 12)))
        yield from _order(learner, nodes)
        yield from _gradients(learner, nodes)
    yield from _again(learner, rng)
    yield from _ladder(learner)
    yield from _deep(learner)


def _graph(rng, n):
    """n nodes, each made of one to three earlier ones; the last is made of all without a use."""
    nodes = [Node("n0"), Node("n1")]
    for i in range(2, n - 1):
        some = rng.choice(i, min(i, int(rng.integers(1, 4))), replace=False)
        nodes.append(Node(f"n{i}", [(nodes[k], float(rng.uniform(0.5, 2))) for k in some]))
    used = {parent for node in nodes for parent, _ in node._parents}
    ends = [node for node in nodes if node not in used]
    nodes.append(Node("L", [(node, float(rng.uniform(0.5, 2))) for node in ends]))
    return nodes


def _true(nodes):
    """The gradient of the last node by each, from the sum over all paths: (I - A)^-1."""
    index = {node: i for i, node in enumerate(nodes)}
    steps = np.zeros((len(nodes), len(nodes)))
    for node in nodes:
        for parent, local in node._parents:
            steps[index[node], index[parent]] += local
    return np.linalg.inv(np.eye(len(nodes)) - steps)[-1]


def _picture(nodes):
    """The graph in a line or two."""
    made = [f"{n} of {' '.join(map(str, dict(n._parents)))}" for n in nodes if n._parents]
    return "; ".join(made)


def _order(learner, nodes):
    """Findings for the order of a graph."""
    order = learner.topological_order(nodes[-1])
    where = "topological_order"
    graph = f"of the graph {_picture(nodes)}"
    if not isinstance(order, list | tuple):
        yield Finding("type", "no list of nodes", "a list", type(order).__name__, where)
    place = {node: i for i, node in enumerate(order)}
    names = " ".join(map(str, order))
    if len(place) < len(order):
        title = "a node stands in the order more than once"
        remedy = "keep a set of nodes seen"
        yield Finding("node-twice", title, f"{len(nodes)} nodes {graph}", names, remedy)
    if missing := [node for node in nodes if node not in place]:
        title = f"{missing[0]} is missing"
        remedy = "the root belongs to it, and the nodes without parents"
        yield Finding("node-missing", title, f"{len(nodes)} nodes {graph}", names, remedy)
    pairs = [(node, parent) for node in nodes for parent, _ in node._parents]
    wrong = [(node, parent) for node, parent in pairs if place[node] > place[parent]]
    if len(wrong) == len(pairs):
        yield Finding("order-reversed", "the order is upside down", "L first", names,
                      "postorder has the parents first: read it backwards")  # fmt: skip
    if wrong:
        node, parent = wrong[0]
        title = f"{parent} stands before {node}, which uses it"
        remedy = "write a node down when the walk leaves it, not when it comes to it"
        yield Finding("GB006", title, f"each node after all that use it, {graph}", names, remedy)


def _gradients(learner, nodes):
    """Findings for the gradients of a graph, the root's first."""
    with learner.watching():
        learner.backward(nodes[-1])
    returned = [node.grad for node in nodes]

    def run(planted, i):
        planted.backward(nodes[-1])
        return nodes[i].grad

    for i, expected in reversed(list(enumerate(_true(nodes)))):
        yield from compare(
            f"{nodes[i]}.grad of the graph {_picture(nodes)}", returned[i], expected,
            wrong=learner.wrong(lambda planted, i=i: run(planted, i)), where="backward",
            derivative=True,
        )  # fmt: skip


# ---- graphs ------------------------------------------------------------------------------------


def _small(learner, rng):
    """L is made of q and p, q of p and a, p of a and b; with parents in both orders."""
    x = rng.uniform(0.5, 1.5, 6).tolist()
    for turn in (1, -1):
        a, b = Node("a"), Node("b")
        p = Node("p", [(a, x[0]), (b, x[1])][::turn])
        q = Node("q", [(p, x[2]), (a, x[3])][::turn])
        nodes = [a, b, p, q, Node("L", [(q, x[4]), (p, x[5])][::turn])]
        yield from _order(learner, nodes)
        yield from _gradients(learner, nodes)


def _again(learner, rng):
    """backward twice: nothing of the first time may be left."""
    nodes = _graph(rng, 7)
    learner.backward(nodes[-1])
    first = [node.grad for node in nodes]
    learner.backward(nodes[-1])
    second = [node.grad for node in nodes]
    for node, one, two in zip(nodes, first, second, strict=True):
        if one != two:
            yield Finding("GB007", "gradients of the first call are left in the second",
                          f"{node}.grad = {one:.8g} again", f"{two:.8g}",
                          "set grad of every node to 0.0 before anything is sent")  # fmt: skip


def _ladder(learner):
    """Each rung uses the one before twice: few nodes, very many paths."""
    nodes = [Node("n0")]
    for i in range(RUNGS):
        nodes.append(Node(f"n{i + 1}", [(nodes[-1], 1.0), (nodes[-1], 1.0)]))
    Node.looks, Node.most = 0, 100 * RUNGS
    try:
        learner.topological_order(nodes[-1])
        Node.looks = 0
        learner.backward(nodes[-1])
    finally:
        Node.most = 10**9
    return compare("n0.grad of a ladder", nodes[0].grad, 2.0**RUNGS, where="backward")


def _deep(learner):
    """A chain that recursion cannot walk."""
    node = first = Node("n0")
    for i in range(DEPTH):
        node = Node(f"n{i + 1}", [(node, 1.0)])
    try:
        learner.plain("backward")(node)
    except RecursionError:
        yield Finding("recursion", f"a chain of {DEPTH} nodes is too deep for recursion",
                      "an answer at any depth", "RecursionError",
                      "a list as a stack, and a while")  # fmt: skip
    yield from compare(f"n0.grad of a chain of {DEPTH} nodes", first.grad, 1.0, where="backward")
