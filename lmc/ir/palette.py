"""The colours of the graph views: (fill, line) by kind of box or cluster."""

COLOURS: dict[str, tuple[str, str]] = {
    "input": ("#f6f8fa", "#8c959f"),
    "output": ("#f6f8fa", "#8c959f"),
    "generate": ("#ddf4ff", "#218bff"),
    "act": ("#ddf4ff", "#218bff"),
    "critique": ("#fff1e5", "#e16f24"),
    "revise": ("#e6fffa", "#0d9488"),
    "adjudicate": ("#fbefff", "#a475f9"),
    "decide": ("#fbefff", "#a475f9"),
    "tool": ("#fff8c5", "#bf8700"),
    "if": ("#ffffff", "#57606a"),
}
CLUSTERS: dict[str, tuple[str, str]] = {
    "pipeline": ("#fcfcfd", "#d0d7de"),
    "refine": ("#f2fdfa", "#5eead4"),
    "vote": ("#faf5ff", "#d8b9ff"),
    "search": ("#fff7ed", "#fdba74"),
    "route": ("#f0fdf4", "#86efac"),
    "agent": ("#eff6ff", "#93c5fd"),
    "map": ("#fffdf0", "#e3c96b"),
    "samples": ("#faf5ff", "#d8b9ff"),
    "loop": ("#f5f8ff", "#a5b8f5"),
}
