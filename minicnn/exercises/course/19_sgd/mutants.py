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
    Mutant("GB002", STEP, "p.data += self.lr * v",
           "the step goes uphill", "data - lr * v: against the gradient"),
    Mutant("not-moved", STEP, "w = p.data - self.lr * v",
           "the parameter has not moved", "p.data must change"),
    Mutant("momentum-missing", KEPT, "pass",
           "the velocity is not kept from step to step", "v of the last step, times momentum"),
    Mutant("momentum-missing", VELOCITY, "v = d",
           "the velocity is not kept from step to step", "v of the last step, times momentum"),
    Mutant("dampened", VELOCITY, f"{VELOCITY} * (1 - self.momentum)",
           "the new gradient is multiplied by 1 - momentum",
           "v = momentum * v + d; PyTorch's dampening is 0"),
    Mutant("lr-in-velocity", f"{VELOCITY}\n            {KEPT}\n            {STEP}",
           f"{VELOCITY.replace('+ d', '+ self.lr * d')}\n            {KEPT}\n"
           "            p.data -= v", "the learning rate is inside the velocity",
           "v without lr; lr * v at the step: a new lr acts on all of it"),
    Mutant("velocity-late", f"{KEPT}\n            {STEP}",
           f"p.data -= self.lr * self.velocities[i]\n            {KEPT}",
           "the step uses the velocity from before", "first the new v, then the step"),
    Mutant("nesterov", STEP, "p.data -= self.lr * (d + self.momentum * v)",
           "this is Nesterov's momentum", "data - lr * v"),
    Mutant("GB015", DECAYED, "d = p.grad",
           "the weight decay is missing", "d = grad + weight_decay * data"),
    Mutant("GB015", DECAYED, "d = p.grad + 2 * self.weight_decay * p.data",
           "the weight decay is added twice", "once: its loss is decay/2 * w**2"),
    Mutant("decay-sign", DECAYED, "d = p.grad - self.weight_decay * p.data",
           "the weight decay makes the weights grow", "d = grad + weight_decay * data"),
    Mutant("decay-decoupled", f"{DECAYED}\n            {VELOCITY}\n            {KEPT}\n"
           f"            {STEP}", f"v = self.momentum * self.velocities[i] + p.grad\n"
           f"            {KEPT}\n            p.data -= self.lr * (v + self.weight_decay * p.data)",
           "the weight decay does not go through the velocity",
           "first d = grad + weight_decay * data, then v"),
    Mutant("lr-kept", "self.params, self.lr = params, lr",
           "self.params, self.lr, self.rate = params, lr, lr\n"
           "        type(self).lr = property(lambda self: self.rate, lambda self, lr: None)",
           "a new lr is not used", "step must read self.lr each time"),
    Mutant("GB009", DECAYED, "d = p.grad; d += self.weight_decay * p.data"),
    Mutant("GB009", new=IN_PLACE),
    Mutant("GB008", new=SHARED,
           title="the velocity and p.grad are one array", where="v = d.copy(), or a new array"),
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
