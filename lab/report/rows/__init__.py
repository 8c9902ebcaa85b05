"""What each figure shows, as rows: the CSV beside the figure, and what the sentences are made of."""
