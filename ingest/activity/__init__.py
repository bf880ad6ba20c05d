"""Activity: counts by minute and hour, and what waits now. For the overview and the metrics."""
