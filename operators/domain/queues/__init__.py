"""One record per queue: open waits, reply time, forecast, service level, agents."""
