"""The key of the pseudonyms, read from its file."""

from pathlib import Path

from operators.documents.load import DocumentError
from operators.documents.secret import note
from operators.domain.wire.pseudonyms import PrivacyParams, Pseudonyms


def pseudonyms_of(privacy: PrivacyParams) -> Pseudonyms | None:
    """The pseudonyms that the settings ask for, or `None` where they ask for none.

    Raises:
        DocumentError: the key cannot be read, or is too short.
    """
    return pseudonyms_with_key(privacy) if privacy.pseudonyms else None


def pseudonyms_with_key(privacy: PrivacyParams) -> Pseudonyms:
    """The pseudonyms by the key of the settings, also where nothing leaves as one.

    Raises:
        DocumentError: there is no key, it cannot be read, or is too short.
    """
    if privacy.key_file is None:
        raise DocumentError("privacy.key_file is not set: it names the file with the key of the pseudonyms")
    try:
        key = Path(privacy.key_file).read_bytes().strip()
        pseudonyms = Pseudonyms(key, privacy.pseudonyms)
    except OSError as error:
        raise DocumentError(f"privacy.key_file: {privacy.key_file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DocumentError(f"privacy.key_file: {privacy.key_file}: {error} (openssl rand -hex 32)") from None
    note([key.decode("latin-1")])
    return pseudonyms
