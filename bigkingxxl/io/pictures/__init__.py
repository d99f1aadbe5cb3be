"""Pictures of results: overlays and contact sheets."""
