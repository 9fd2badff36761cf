"""Who calls, by certificate or token, what they may call, and how much of it; the TLS that it comes over."""
