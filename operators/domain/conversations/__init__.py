"""One record per conversation: rounds, replies, satisfaction, and the turns that wait for labels."""
