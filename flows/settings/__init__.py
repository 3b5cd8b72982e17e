"""The settings: their types, how they are loaded, and the documents generated from them."""
