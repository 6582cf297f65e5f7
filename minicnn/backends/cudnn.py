"""cuDNN's switches, which programs set: without effect, because cuDNN is not used."""

enabled = False
benchmark = False
allow_tf32 = False
deterministic = True
