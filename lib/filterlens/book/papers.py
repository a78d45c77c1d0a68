"""The five papers by number, as the pages name them, and what no paper measured."""

PAPERS = {  # number of the paper -> its lens, and its key in references.bib
    "000": ("Simplex", "thakur2022geometric"),
    "001": ("Influence", "badola2021decomposing"),
    "002": ("Decoding", "rafegas2015decoding"),
    "003": ("Isolation", "zhuang2021understanding"),
    "004": ("Gates", "liang2020training"),
}
OURS = {  # what no paper measured: number -> heading, what it is, and the beginnings of its ids with a title for each
    "008": (
        "Synthesis",
        "All lenses on the same filters, and every method on planted worlds whose answer is known. No paper prints these numbers.",
        {
            "passport": "Passports of single filters",
            "agreement": "Whether the lenses agree",
            "truth-redundancy": "Planted worlds: which filters are redundant",
            "truth-influence": "Planted worlds: which features decide a class",
            "truth-decoding": "Planted worlds: what a unit looks for",
            "truth-isolation": "Planted worlds: which pixels made a kernel answer",
            "truth-gates": "Planted worlds: which class owns a filter",
            "": "Further",
        },
    ),
}
