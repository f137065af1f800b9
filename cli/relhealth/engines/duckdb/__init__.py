"""The reference engine: the SQL templates over the rows of the windows."""
