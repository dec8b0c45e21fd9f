"""What features stand for, and how well that can be told: explained on some documents, scored on others, beside nulls."""
