"""What features stand for and how surely: explained on some documents, scored on others, beside nulls."""
