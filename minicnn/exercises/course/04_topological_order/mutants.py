"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

RECURSIVE = """
def topological_order(root):
    done, seen = [], set()
    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent, _ in node.parents:
                visit(parent)
            done.append(node)
    visit(root)
    return done[::-1]
"""
PREORDER = """
def topological_order(root):
    order, stack = [], [root]
    while stack:
        node = stack.pop(0)
        if node not in order:
            order.append(node)
            stack += [parent for parent, _ in node.parents]
    return order
"""
NO_SET = """
def topological_order(root):
    def postorder(node):
        below = [n for parent, _ in node.parents for n in postorder(parent)]
        return below + [node]
    return list(dict.fromkeys(postorder(root)))[::-1]
"""
ALONG_PATHS = """
def backward(root):
    for node in topological_order(root):
        node.grad = 0.0
    def send(node, g):
        node.grad += g
        for parent, local in node.parents:
            send(parent, g * local)
    send(root, 1.0)
"""
SENT_AGAIN = """
def backward(root):
    order = topological_order(root)
    for node in order:
        node.grad = 0.0
    root.grad = 1.0
    def send(node):
        for parent, local in node.parents:
            parent.grad += node.grad * local
            send(parent)
    send(root)
"""
BREADTH_FIRST = """
def backward(root):
    for node in topological_order(root):
        node.grad = 0.0
    root.grad, queue = 1.0, [root]
    for node in queue:
        for parent, local in node.parents:
            parent.grad += node.grad * local
            queue += [parent] if parent not in queue else []
"""
SEND = "parent.grad += node.grad * local"
ZERO = "        node.grad = 0.0\n    root"

MUTANTS = [
    Mutant("recursion", new=RECURSIVE),
    Mutant("GB006", new=PREORDER),
    Mutant("every-path", new=NO_SET),
    Mutant("every-path", new=ALONG_PATHS),
    Mutant("order-reversed", "return done[::-1]", "return done"),
    Mutant("node-twice", "if parent not in seen:", "if True:"),
    Mutant("node-missing", "            done.append(node)",
           "            done += [node] if node.parents else []"),
    Mutant("type", "return done[::-1]", "return set(done)"),
    Mutant("GB004", SEND, "parent.grad = node.grad * local",
           "one path's gradient replaces the other's", "parent.grad += ..., not ="),
    Mutant("GB005", new=SENT_AGAIN, title="a path is counted more than once",
           where="a node sends what it has once, when nothing more will come"),
    Mutant("GB007", ZERO, "        pass\n    root"),
    Mutant("root-not-1", "    root.grad = 1.0\n", "",
           "the root's own gradient is not 1", "root.grad = 1.0, after the zeros"),
    Mutant("upstream-ignored", SEND, "parent.grad += local",
           "a node sends the local derivative only", "node.grad * local"),
    Mutant("GB006", new=BREADTH_FIRST, title="a node sends before all of its gradient has come",
           where="go through the nodes in topological order"),
    Mutant("value", SEND, "parent.grad -= node.grad * local"),
]  # fmt: skip
