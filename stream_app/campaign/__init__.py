"""Whether campaigns help: who is left alone, and what the others did more. Knows no Kafka."""
