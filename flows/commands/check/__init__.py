"""`csq check`: whether csq could run here with these settings."""
