"""The store of each scheme."""

from relhealth.stores.addresses import Address
from relhealth.stores.store import Store


def open_store(address: Address) -> Store:
    """Open the store of an address; it asks nothing yet."""
    match address.scheme:
        case "s3":
            from relhealth.stores.cloud import s3

            return s3(address)
        case "az":
            from relhealth.stores.cloud import azure

            return azure(address)
        case "gs":
            from relhealth.stores.gcs import Gcs

            return Gcs(address)
        case _:
            from relhealth.stores.web import Web

            return Web(address)
