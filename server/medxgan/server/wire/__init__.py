"""The gRPC services: from request to answer, and from error to status."""
