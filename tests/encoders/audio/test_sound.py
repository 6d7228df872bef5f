"""Sounds by hand, and the spectrogram against transformers' own."""

import io
import struct
import wave

import numpy as np
import pytest

from twofold.encoders.audio.sound import RATE, read_wave, spectrogram
from twofold.encoders.media import UnreadableError


def wav(frames: bytes, *, width: int = 2, channels: int = 1, rate: int = RATE) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(frames)
    return file.getvalue()


@pytest.mark.parametrize(
    ("frames", "width"),
    [
        (bytes([192, 0]), 1),
        (struct.pack("<hh", 16_384, -32_768), 2),
        (b"\x00\x00\x40" + b"\x00\x00\x80", 3),
        (struct.pack("<ii", 2**30, -(2**31)), 4),
    ],
)
def test_samples_of_any_width_are_numbers_from_minus_one_to_one(frames: bytes, width: int) -> None:
    assert read_wave(wav(frames, width=width), 1).tolist() == [0.5, -1]


def test_channels_are_mixed_and_the_rest_is_not_read() -> None:
    frames = struct.pack("<6h", 16_384, 0, 0, -16_384, 32_767, 32_767)
    assert read_wave(wav(frames, channels=2), 2 / RATE).tolist() == [0.25, -0.25]


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_a_tone_stays_itself_at_another_rate(rate: int) -> None:
    def tone(rate: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(rate // 10) / rate)

    frames = (tone(rate) * 32_767).astype("<i2").tobytes()
    found = read_wave(wav(frames, rate=rate), 1)
    assert len(found) == RATE // 10
    np.testing.assert_allclose(found, tone(RATE), atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"RIFF and no more", b"a text", wav(b""), wav(b"\x00" * 800)[:30]], ids=str)
def test_what_is_no_sound_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_wave(content, 1)


@pytest.mark.parametrize("length", [1, 7_000, 16_000, 20_000])
def test_the_spectrogram_is_the_one_of_transformers(length: int) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    samples = np.random.default_rng(length).normal(size=length).astype(np.float32) * 0.1
    expected = theirs(samples, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    found = spectrogram(samples, theirs.mel_filters, RATE)
    assert found.shape == (20, 100)
    np.testing.assert_allclose(found, expected, atol=1e-4)
