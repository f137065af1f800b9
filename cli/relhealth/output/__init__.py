"""From an answer to what a reader gets: delivery, layouts (one a kind of answer), formats."""
