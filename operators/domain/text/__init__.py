"""From the text of a message to the features that vectorize hands on: cleaning, words, lexicons, languages."""
