"""HTTP for people and machines who watch: health, readiness, status, metrics, dead letters, live events."""
