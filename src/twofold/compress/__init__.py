"""Small and fast, and measured: pruning, quantisation, distillation, and the ladder of what they make."""
