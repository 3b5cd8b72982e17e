"""Event time: lanes, timers, watermarks, and the stage that routes records by lane."""
