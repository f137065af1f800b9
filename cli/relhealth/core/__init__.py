"""Code that every room may use: errors, windows, scope, versions, numbers and words."""
