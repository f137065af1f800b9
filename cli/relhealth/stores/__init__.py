"""Object stores: their objects as local files, which hold what a question needs of them.

A ``Mirror`` lists a store and makes a folder of files with the same names and sizes. It fetches
their content when a reader asks for it (``present``), and keeps it in a cache (``cache``).
"""
