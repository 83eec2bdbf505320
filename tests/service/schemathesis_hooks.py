"""How schemathesis writes the bytes of an upload."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
