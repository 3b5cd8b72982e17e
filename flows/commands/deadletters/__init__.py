"""`csq deadletters`: what was refused, looked at and sent again."""
