"""The leaderboard: its schema, and how the records of a run become its rows."""
