"""Files that users and csq itself rely on: YAML read strictly and checked with lines, and files written durably."""
