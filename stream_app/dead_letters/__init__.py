"""Dead letters as a tool: find them, look at them, send the original records in again."""
