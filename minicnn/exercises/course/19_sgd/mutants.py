"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant

DECAYED = "d = p.grad + self.weight_decay * p.data  # the shape of p.data"
VELOCITY = "v = self.momentum * self.velocities[i] + d"
STEP = "p.data -= self.lr * v"
KEPT = "self.velocities[i] = v"
NONE = "            p.grad = None\n\n\ndef"
LOOP = """        optimizer.zero_grad()
        backward(batch)
        optimizer.step()"""

SHARED = """
class SGD(SGD):
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0):
        super().__init__(params, lr, momentum, weight_decay)
        self.velocities = [None] * len(params)
    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            d = p.grad + self.weight_decay * p.data if self.weight_decay else p.grad
            v = self.velocities[i]
            self.velocities[i] = d if v is None else self.momentum * v + d
            p.data -= self.lr * self.velocities[i]
"""
IN_PLACE = SHARED.replace("d if v is None else self.momentum * v + d", "d") .replace(
    "            p.data -=",
    "            if v is not None:\n"
    "                v *= self.momentum; v += d; self.velocities[i] = v\n            p.data -=",
)  # fmt: skip
BY_LIBRARY = """
import minicnn as mc
class SGD(SGD):
    def step(self):
        for p in self.params:
            p.tensor = mc.nn.Parameter(mc.tensor(p.data))
            p.tensor.grad = mc.tensor(p.grad)
        mc.optim.SGD([p.tensor for p in self.params], lr=self.lr).step()
"""

MUTANTS = [
    Mutant("GB002", STEP, "p.data += self.lr * v"),
    Mutant("not-moved", STEP, "w = p.data - self.lr * v"),
    Mutant("momentum-missing", KEPT, "pass"),
    Mutant("momentum-missing", VELOCITY, "v = d"),
    Mutant("dampened", VELOCITY, f"{VELOCITY} * (1 - self.momentum)"),
    Mutant("lr-in-velocity", f"{VELOCITY}\n            {KEPT}\n            {STEP}",
           f"{VELOCITY.replace('+ d', '+ self.lr * d')}\n            {KEPT}\n"
           "            p.data -= v"),
    Mutant("velocity-late", f"{KEPT}\n            {STEP}",
           f"p.data -= self.lr * self.velocities[i]\n            {KEPT}"),
    Mutant("nesterov", STEP, "p.data -= self.lr * (d + self.momentum * v)"),
    Mutant("GB015", DECAYED, "d = p.grad"),
    Mutant("GB015", DECAYED, "d = p.grad + 2 * self.weight_decay * p.data"),
    Mutant("decay-sign", DECAYED, "d = p.grad - self.weight_decay * p.data"),
    Mutant("decay-decoupled", f"{DECAYED}\n            {VELOCITY}\n            {KEPT}\n"
           f"            {STEP}", f"v = self.momentum * self.velocities[i] + p.grad\n"
           f"            {KEPT}\n            p.data -= self.lr * (v + self.weight_decay * p.data)"),
    Mutant("lr-kept", "self.params, self.lr = params, lr",
           "self.params, self.lr, self.rate = params, lr, lr\n"
           "        type(self).lr = property(lambda self: self.rate, lambda self, lr: None)"),
    Mutant("GB009", DECAYED, "d = p.grad; d += self.weight_decay * p.data"),
    Mutant("GB009", new=IN_PLACE),
    Mutant("GB008", new=SHARED),
    Mutant("value", VELOCITY, f"{VELOCITY}; v = v + self.velocities[0].sum()"),
    Mutant("value", "                continue", "                return"),
    Mutant("error", "            if p.grad is None:\n                continue\n", ""),
    Mutant("GB007", NONE, "            pass\n\n\ndef"),
    Mutant("GB007", NONE, "            p.grad = None\n            break\n\n\ndef"),
    Mutant("velocity-cleared", NONE, "            p.grad = None\n"
           "        self.velocities = [np.zeros_like(p.data) for p in self.params]\n\n\ndef"),
    Mutant("shape", NONE, "            p.grad = 0.0\n\n\ndef"),
    Mutant("value", NONE, "            p.grad = None\n            p.data *= 0\n\n\ndef"),
    Mutant("GB007", LOOP, "        backward(batch)\n        optimizer.step()"),
    Mutant("GB007", LOOP, "        backward(batch)\n        optimizer.step()\n"
           "        optimizer.zero_grad()"),
    Mutant("zeroed-too-soon", LOOP, "        backward(batch)\n        optimizer.zero_grad()\n"
           "        optimizer.step()"),
    Mutant("zeroed-too-soon", LOOP, "        optimizer.zero_grad()\n        optimizer.step()\n"
           "        backward(batch)"),
    Mutant("step-too-soon", LOOP, "        optimizer.step()\n        optimizer.zero_grad()\n"
           "        backward(batch)"),
    Mutant("step-missing", LOOP, "        optimizer.zero_grad()\n        backward(batch)"),
    Mutant("order", LOOP, f"{LOOP}\n        break"),
    Mutant("library", new=BY_LIBRARY),
    Mutant("todo", "        for p in self.params:\n            p.grad",
           "        raise NotImplementedError\n        for p in self.params:\n            p.grad"),
]  # fmt: skip
