"""Output: delivery of answers, layouts (one per kind of answer) and formats."""
