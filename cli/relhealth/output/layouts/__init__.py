"""How each kind of answer is laid out: one module a kind."""
