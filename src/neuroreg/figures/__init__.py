"""Drawing: each figure or table of results, and the style that they share."""
