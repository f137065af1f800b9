"""Questions: a module for each, the merge of their components, and the formulas of figures."""
