"""What the bars are measured with, as requests and as bytes: sets of 100-byte values under `/bench/00042`."""

from lab.service.requests import SetData, encode_frame

VALUE_BYTES = 100


def requests(count: int) -> list[SetData]:
    return [SetData(cxid, f"/bench/{cxid % 1000:05d}", bytes(VALUE_BYTES)) for cxid in range(1, count + 1)]


def batch_bytes(count: int) -> bytes:
    """About what a batch of so many writes is on a link, and in a log."""
    return encode_frame(requests(count))
