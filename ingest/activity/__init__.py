"""What happened and what waits, in figures: rollups by minute and hour, for the overview and the metrics."""
