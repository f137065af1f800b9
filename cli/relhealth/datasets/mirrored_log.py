"""Reads the log of an Iceberg table of an object store, whose files name one another by URIs."""

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from relhealth.stores import present


class MirroredLog(PyArrowFileIO):
    """Opens the mirror's file in place of the object."""

    def new_input(self, location: str) -> PyArrowFile:
        """Return a file of the log, which is fetched if it is not here."""
        path = present.path_of(location) or location
        present.entire_files([path])
        return super().new_input(path)
