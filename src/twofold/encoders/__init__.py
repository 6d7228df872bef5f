"""Stages that turn items, texts and images into vectors, built on pre-trained models."""
