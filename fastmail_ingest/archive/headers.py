"""The headers of a tar, read with suspicion: damage is told, and none of them fills the memory."""

import tarfile
from typing import NoReturn

# Names and further facts about a file; whoever makes them longer wants to fill the memory.
_FACTS_MAX_BYTES = 1024 * 1024
_FACTS = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)  # fmt: skip
SPARSE = "a file with holes, which no mail has: it could be endless"


class Header(tarfile.TarInfo):
    """As TarInfo, but a damaged or missing header is no end: tarfile would take it for one, in silence."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "Header":
        """The next header. Raises tarfile.ReadError for one that is damaged, or not there at all."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # as all its errors of this kind
            raise  # an empty block: the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"damaged, or cut off ({error})") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        """A header from its block. Raises tarfile.ReadError for one that would take too much memory."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _FACTS and found.size > _FACTS_MAX_BYTES:
            raise tarfile.ReadError(f"it has a name of {found.size} bytes")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(SPARSE)
        return found

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:
        """The list of holes would be read as a whole, whatever its length."""
        raise tarfile.ReadError(SPARSE)
