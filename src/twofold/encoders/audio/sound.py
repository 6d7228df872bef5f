"""Bytes of a WAV file to the spectrogram that a Whisper network hears, by numpy alone."""

import io
import wave

import numpy as np
import numpy.typing as npt

from twofold.encoders.media import UnreadableError

__all__ = ["HOP", "RATE", "Samples", "read_wave", "spectrogram"]

RATE = 16_000
"""Samples a second that Whisper hears."""
WINDOW, HOP = 400, 160
FLOOR = 1e-10

Samples = npt.NDArray[np.float32]


def read_wave(content: bytes, seconds: float) -> Samples:
    """Return the beginning of a WAV file as one channel in -1 … 1, at 16,000 samples a second.

    Args:
        content: PCM of 8, 16, 24 or 32 bits, any number of channels, any rate.
        seconds: how much of it is read at most.

    Raises:
        UnreadableError: it is no such file, is damaged, or is silent for want of samples.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(min(file.getnframes(), int(seconds * rate)))
    except (wave.Error, EOFError, ValueError, RuntimeError) as error:
        raise UnreadableError(f"it is no WAV file with PCM, or is damaged ({error or 'it is cut off'})") from None
    if not 1 <= width <= 4 or channels < 1 or rate < 1:
        raise UnreadableError(f"it has {8 * width} bits, {channels} channels and {rate} samples a second")
    whole = len(raw) - len(raw) % (width * channels)
    if not whole:
        raise UnreadableError("it has no samples")
    frames = np.frombuffer(raw[:whole], np.uint8).reshape(-1, channels, width)
    return _resampled(_floats(frames, width).mean(axis=1), rate)


def _floats(frames: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.float64]:
    """Return little-endian samples [n, channels, width] as numbers in -1 … 1, [n, channels]; 8 bits have no sign."""
    if width == 1:
        return (frames[:, :, 0].astype(np.float64) - 128) / 128
    padded = np.zeros((*frames.shape[:2], 4), np.uint8)
    padded[:, :, 4 - width :] = frames
    return padded.view("<i4")[:, :, 0].astype(np.float64) / 2**31


def _resampled(samples: npt.NDArray[np.float64], rate: int) -> Samples:
    """Return samples at Whisper's rate: the spectrum is cut, or filled with zeros, at the new highest frequency."""
    size = max(round(len(samples) * RATE / rate), 1)
    if size != len(samples):
        samples = np.fft.irfft(np.fft.rfft(samples), size) * (size / len(samples))
    return samples.astype(np.float32)


def spectrogram(samples: Samples, filters: npt.NDArray[np.floating], size: int) -> Samples:
    """Return Whisper's log-mel spectrogram, float32 [mels, size / 160].

    `max(log10 mel, its maximum - 8) / 4 + 1` over windows of 25 ms, 10 ms apart. Source: Radford et al., "Robust
    speech recognition via large-scale weak supervision" (2022).

    Args:
        samples: one channel at 16,000 a second.
        filters: the mel filter bank, [201, mels].
        size: how many samples the network hears; shorter sounds are followed by silence.
    """
    padded = np.zeros(size, np.float64)
    padded[: min(len(samples), size)] = samples[:size]
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:-1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(windows * window, axis=1)) ** 2
    mel = np.log10(np.maximum(power @ filters, FLOOR)).T
    heard: Samples = ((np.maximum(mel, mel.max() - 8) + 4) / 4).astype(np.float32)
    return heard
