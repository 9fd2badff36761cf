"""What an evaluation found, for people and for programs: report.json, report.md and pictures."""
