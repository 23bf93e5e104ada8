"""Sets of the zero-shot benchmark, and plain words for their labels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Set:
    """A corpus.

    name (str): Its folder.
    train (str | None): The split that is trained on; none for a set held out whole.
    test (str | None): The split that is scored.
    weight (int): How many times the common number of sentences is taken.
    """

    name: str
    train: str | None
    test: str | None
    weight: int = 1


GOLD = "gold"  # in corpus/

SETS = [
    Set("few_nerd", "dev", "test", weight=4),
    Set("bc5cdr", "train", "dev"),
    Set("ncbi_disease", "train", None),
    Set("wnut17", "train", "test"),
    Set("btc", "train", None),
    Set("fin_sec", "train", None),
    Set("gum_named", "train", "test", weight=2),
    Set("anem", "train", "test"),
    Set("explosion_drugs", "train", None),
    Set("explosion_fashion", "train", None),
    Set("explosion_food", "all", None),
    Set("crossner_ai", None, "test"),
    Set("crossner_literature", None, "test"),
    Set("crossner_science", None, "test"),
    Set(GOLD, None, "test"),
]

# Labels that the model never sees in training, although it sees their text.
HELD_OUT_LABELS = {
    "few_nerd": [
        "other_award",
        "other_language",
        "other_god",
        "product_ship",
        "building_restaurant",
        "event_disaster",
        "organization_sportsleague",
        "person_director",
    ],
    "anem": ["Cellular_component", "Organ"],
    "wnut17": ["creative-work"],
}

# None: nobody can say what is asked for. Words with a set before them hold for it alone.
WORDS: dict[str, str | None] = {
    "misc": None,
    "MISC": None,
    "few_nerd.organization_other": None,
    "few_nerd.art_other": None,
    "few_nerd.product_other": None,
    "PER": "person",
    "ORG": "organization",
    "LOC": "location",
    "person": "person",
    "organisation": "organization",
    "organization": "organization",
    "location": "location",
    "country": "country",
    "event": "event",
    "product": "product",
    "award": "award",
    "university": "university",
    "group": "group or band",
    "corporation": "company",
    "creative-work": "creative work",
    "place": "place",
    "object": "named object",
    "animal": "animal",
    "abstract": "abstract concept",
    "substance": "substance",
    "time": "time",
    "plant": "plant",
    "Chemical": "chemical or drug",
    "Disease": "disease",
    "DRUG": "recreational drug",
    "FASHION_BRAND": "fashion brand",
    "INGRED": "food ingredient",
    "Pathological_formation": "pathological formation",
    "Cell": "cell",
    "Tissue": "tissue",
    "Multi-tissue_structure": "multi-tissue structure",
    "Organ": "organ",
    "Anatomical_system": "anatomical system",
    "Organism_subdivision": "part of the body",
    "Immaterial_anatomical_entity": "anatomical cavity or space",
    "Organism_substance": "body fluid or substance",
    "Cellular_component": "cellular component",
    "Developing_anatomical_structure": "embryonic structure",
    "location_GPE": "country, city or state",
    "location_island": "island",
    "location_mountain": "mountain",
    "location_road/railway/highway/transit": "road, railway or transit",
    "organization_company": "company",
    "organization_sportsteam": "sports team",
    "organization_sportsleague": "sports league",
    "organization_media/newspaper": "newspaper or media",
    "organization_education": "school or university",
    "person_soldier": "soldier",
    "person_politician": "politician",
    "person_artist/author": "artist or author",
    "person_director": "film director",
    "building_airport": "airport",
    "building_sportsfacility": "sports facility",
    "building_hotel": "hotel",
    "building_restaurant": "restaurant",
    "event_attack/battle/war/militaryconflict": "battle or war",
    "event_disaster": "disaster",
    "event_protest": "protest",
    "product_airplane": "airplane",
    "product_ship": "ship",
    "product_food": "food",
    "product_software": "software",
    "art_film": "film",
    "art_broadcastprogram": "television or radio program",
    "other_language": "language",
    "other_law": "law",
    "other_award": "award",
    "other_astronomything": "astronomical object",
    "other_god": "god",
    "other_biologything": "biological entity",
    "other_disease": "disease",
    "metrics": "evaluation metric",
    "algorithm": "algorithm",
    "task": "research task",
    "conference": "conference",
    "researcher": "researcher",
    "field": "research field",
    "programlang": "programming language",
    "literarygenre": "literary genre",
    "book": "book",
    "poem": "poem",
    "writer": "writer",
    "magazine": "magazine",
    "academicjournal": "academic journal",
    "scientist": "scientist",
    "chemicalcompound": "chemical compound",
    "discipline": "academic discipline",
    "protein": "protein",
    "astronomicalobject": "astronomical object",
    "chemicalelement": "chemical element",
    "enzyme": "enzyme",
    "theory": "theory",
}
