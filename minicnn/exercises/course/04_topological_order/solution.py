"""Exercise 4: topological order and reuse."""


class Node:
    """What was computed: parents, as pairs (node, local), and grad."""

    def __init__(self, parents=()):
        self.parents = list(parents)
        self.grad = 0.0


def topological_order(root):
    """Every node below root once, each after all nodes that use it."""
    done, seen = [], {root}
    stack = [(root, iter(root.parents))]  # the way from root to here
    while stack:
        node, parents = stack[-1]
        for parent, _ in parents:
            if parent not in seen:
                seen.add(parent)
                stack.append((parent, iter(parent.parents)))
                break
        else:  # no parent is left: all it was made of is written down
            done.append(node)
            stack.pop()
    return done[::-1]


def backward(root):
    """Sets grad of every node below root to d(root)/d(node)."""
    order = topological_order(root)
    for node in order:
        node.grad = 0.0
    root.grad = 1.0
    for node in order:  # all that use the node have sent their share
        for parent, local in node.parents:
            parent.grad += node.grad * local
