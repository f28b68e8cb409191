"""What editors ask: the language server, and what it says of programs.

`server` speaks the protocol, over `pygls`. Each other file answers one kind of question and needs
no server. Nothing here calls a model or a tool: a click starts a process of its own for that.
"""
