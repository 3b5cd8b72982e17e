"""The online models, their scores, how they are judged, and their weights in other processes."""
