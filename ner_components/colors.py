"""displaCy colours of the labels of the gold set (entry point `spacy_displacy_colors`)."""

# Light backgrounds, told apart by people with the common forms of colour blindness
# (after Okabe and Ito's palette), each dark text on top of which stays readable.
COLORS = {
    "PERSON": "#a6d8f5",
    "ORG": "#f7c98b",
    "LOCATION": "#9fdcc8",
    "PRODUCT": "#f3c6dd",
    "STATUTE": "#d9d2f0",
    "DISEASE": "#f2a98c",
    "DRUG": "#f5ec9c",
    "TICKER": "#c4cdd6",
    "MONEY": "#b9dd8b",
}
