"""Everything that depends on the insides of Bytewax: adapters, epochs, snapshots, the recovery store."""
