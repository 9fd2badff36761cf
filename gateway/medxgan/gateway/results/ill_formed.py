"""Values of a film that are ill-formed are taken as they are: nothing quotes them, the libraries' logs included."""

import logging

from medxgan.client.studies.unquoted import unquoted

__all__ = ["unquoted"]

# highdicom logs names of persons that it takes for ill-formed, and UIDs.
for _library in ("highdicom", "pydicom"):
    logging.getLogger(_library).propagate = False
