"""Numbers of fewer bits: the formula, whole graphs by onnxruntime's tools, bits per layer, and items' vectors.

`formula` is the arithmetic on arrays; `calibration` finds the ranges of activations; `fusion` fuses attention; `graph`
makes int8 graphs; `smooth` moves outliers from activations into weights; `weights` makes weights and embedding tables
of 8 and 4 bits; `adaptive` chooses the bits of each layer; `soundness` refuses what must not pass, and compares graphs;
`vectors` is about items' vectors. Only `formula` and `vectors` work without the package onnx.
"""
