"""cuDNN's switches, which programs set: without effect, because cuDNN is not used."""

enabled = False
benchmark = False
deterministic = True
