"""Exercise 4: topological order and reuse."""


class Node:
    """What was computed, without the numbers.

    parents   list of pairs (node, local derivative)
    grad      a float, set by backward
    """

    def __init__(self, parents=()):
        self.parents = list(parents)
        self.grad = 0.0


def topological_order(root):
    """Every node that root was made of, root first.

    returns   a list of nodes, each once, and after all nodes that use it
    """
    #: raise NotImplementedError
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
    """Sets grad of root to 1, of every node below to d(root)/d(node)."""
    #: raise NotImplementedError
    order = topological_order(root)
    for node in order:
        node.grad = 0.0
    root.grad = 1.0
    for node in order:  # all that use the node have sent their share
        for parent, local in node.parents:
            parent.grad += node.grad * local


if __name__ == "__main__":  # runs with: python ex04_topological_order.py
    a, b = Node(), Node()
    p = Node([(a, -3.0), (b, 2.0)])
    L = Node([(p, 1.0), (a, 1.0)])
    backward(L)
    print(a.grad, b.grad)
