"""What is asked: each question, the merge of its components, and the formulas of figures."""
