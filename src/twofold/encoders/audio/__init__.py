"""Vectors of sounds: `AudioEncoder` from a Whisper checkpoint."""

from twofold.encoders.audio.encoder import AudioConfig, AudioEncoder

__all__ = ["AudioConfig", "AudioEncoder"]
