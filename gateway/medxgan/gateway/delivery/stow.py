"""Delivery by STOW-RS."""

from collections.abc import Sequence

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset

from medxgan.gateway.delivery.answers import Answer, Answers, DestinationAwayError, answer_of
from medxgan.gateway.http import session
from medxgan.gateway.settings import StowDestination

_REFUSED = (requests.codes.bad_request, requests.codes.conflict, requests.codes.unsupported_media_type)
"""What is answered to objects that would be refused again; who may not come in, or came too early, may come later."""


class StowSender:
    """Sends objects to a DICOMweb archive.

    Args:
        settings: of the destination.
    """

    def __init__(self, settings: StowDestination) -> None:
        self._client = DICOMwebClient(
            settings.url,
            session=session(settings.user, settings.password_file, settings.timeout_s),
            timeout=settings.timeout_s,
        )
        self._client.set_http_retry_params(retry=False)

    def send(self, objects: Sequence[Dataset]) -> Answers:
        """Send objects in one request.

        Returns:
            An answer for each.

        Raises:
            DestinationAwayError: the archive does not answer, or does not let this gateway in.
        """
        try:
            stored = self._client.store_instances(objects)
        except requests.HTTPError as error:
            response = error.response
            if response is None or response.status_code not in _REFUSED:
                said = "no answer" if response is None else f"HTTP {response.status_code}"
                raise DestinationAwayError(said) from error
            described = _described(response)
            if described is None:
                refused = Answer(accepted=False, is_final=True, status=f"HTTP {response.status_code}")
                return {each.SOPInstanceUID: refused for each in objects}
            stored = described
        except (requests.RequestException, ValueError, KeyError) as error:
            raise DestinationAwayError("no answer that can be read") from error
        answers = {
            str(item.ReferencedSOPInstanceUID): answer_of(int(item.get("FailureReason", 0x0110)))
            for item in stored.get("FailedSOPSequence", ())
        }
        for item in stored.get("ReferencedSOPSequence", ()):
            answers[str(item.ReferencedSOPInstanceUID)] = answer_of(0)
        return answers


def _described(response: requests.Response) -> Dataset | None:
    """What an answer says of each object; None where it does not."""
    try:
        described = Dataset.from_json(response.json())
    except Exception:  # noqa: BLE001 - what is no DICOM JSON fails in whatever way pydicom does
        return None
    return described if "FailedSOPSequence" in described or "ReferencedSOPSequence" in described else None
