"""Output records: what consumers read, encoded a batch at a time. Knows no broker and no clock."""
