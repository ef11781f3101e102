"""What a connection costs beside its bytes: round trips to open it, and waits for acknowledgements at first."""

from __future__ import annotations

from dataclasses import dataclass

SEGMENT_BYTES = 1448  # of a full Ethernet frame, after the headers of IPv4 and TCP with timestamps


@dataclass(frozen=True, slots=True)
class Transport:
    """TCP with TLS 1.3, as its documents have it.

    handshake: round trips before the first request, one for TCP, one for TLS (RFC 8446). window_bytes: what is sent
    before the first acknowledgement, ten segments (RFC 6928); it doubles with every round trip (RFC 5681) until the
    line is full, and is taken to stay full from then on.
    """

    handshake: float = 2.0
    window_bytes: float = 10.0 * SEGMENT_BYTES

    def opening_s(self, round_trip_s: float, *, up: bool) -> float:
        """Return the time until the first byte may leave: a download is asked for first."""
        return (self.handshake + (0.0 if up else 0.5)) * round_trip_s

    def stalls_s(self, nbytes: float, bytes_per_s: float, round_trip_s: float) -> float:
        """Return how long a sender, alone on a line, waits for acknowledgements instead of sending.

        >>> round(Transport().stalls_s(30_000, 1e6, 0.1), 5)  # a window in 0.01448 s, then a wait for the rest of 0.1
        0.08552
        """
        window, sent, stalled_s = self.window_bytes, 0.0, 0.0
        while sent + window < nbytes and window < bytes_per_s * round_trip_s:
            stalled_s += round_trip_s - window / bytes_per_s
            sent, window = sent + window, 2 * window
        return stalled_s
