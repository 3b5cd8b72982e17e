"""The recovery store: made, checked, shown, exported, imported, warmed up."""
