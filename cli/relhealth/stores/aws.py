"""Settings for S3 from the usual variables and files; obstore knows the variables of keys."""

import configparser
import os
from typing import Any

from relhealth.core.errors import DataError

_NEEDS_BOTO3 = ("sso_session", "sso_start_url", "role_arn", "credential_process", "login_session")


def settings() -> dict[str, Any]:
    """Return the parameters of an S3 store: region, endpoint and, from a profile, credentials.

    Raises ``DataError`` for a profile that does not exist, or that needs boto3 where it is missing.
    """
    env = os.environ
    profile = _profile()
    found: dict[str, Any] = {
        "region": env.get("AWS_REGION")
        or env.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or "us-east-1"
    }
    endpoint = (
        env.get("AWS_ENDPOINT_URL_S3")
        or env.get("AWS_ENDPOINT_URL")
        or env.get("AWS_ENDPOINT")
        or profile.get("endpoint_url")
    )
    if endpoint:
        found["endpoint"] = endpoint
    if env.get("AWS_ACCESS_KEY_ID") and not env.get("AWS_PROFILE"):
        return found
    if "aws_access_key_id" in profile:
        found["access_key_id"] = profile["aws_access_key_id"]
        found["secret_access_key"] = profile.get("aws_secret_access_key", "")
        if "aws_session_token" in profile:
            found["session_token"] = profile["aws_session_token"]
    elif any(name in profile for name in _NEEDS_BOTO3):
        found["credential_provider"] = _by_boto3()
    return found


def _profile() -> dict[str, str]:
    """Return the settings of AWS_PROFILE or the default profile, of both files of AWS."""
    name = os.environ.get("AWS_PROFILE", "default")
    home = os.path.expanduser("~/.aws")
    read = configparser.ConfigParser(interpolation=None)
    merged: dict[str, str] = {}
    known = False
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        path = os.environ.get(variable) or os.path.join(home, file)
        read.clear()
        try:
            read.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not readable ({type(error).__name__}); mend it") from error
        if read.has_section(section):
            known = True
            merged |= dict(read.items(section))
    if "AWS_PROFILE" in os.environ and not known:
        raise DataError(f"AWS_PROFILE {name}: no such profile in {home}; see aws configure list")
    return merged


def _by_boto3() -> Any:
    name = os.environ.get("AWS_PROFILE", "default")
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise DataError(
            f"AWS profile {name}: its kind of sign-in needs boto3; pip install boto3, or set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (aws configure export-credentials)"
        ) from error
    return Boto3CredentialProvider(boto3.Session(profile_name=name))
