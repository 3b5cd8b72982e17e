"""One Bytewax operator per stage. Importing it imports nothing else, so that `operators.domain` needs no Bytewax."""
