"""Events as bytes: decoded, checked for repeats, and the records that leave."""
